// Sends back what comes, over a Unix socket the host listens on.
import { connect } from "node:net";

const link = connect(process.argv[2]);
link.on("data", (part) => link.write(part));
