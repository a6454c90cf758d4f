"""Sends back what comes, over a Unix socket the host listens on."""
import socket
import sys

link = socket.socket(socket.AF_UNIX)
link.connect(sys.argv[1])
while part := link.recv(1 << 20):
    link.sendall(part)
