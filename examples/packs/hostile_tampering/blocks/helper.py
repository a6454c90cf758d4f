"""What `uses_helper` imports."""
WHO = "source"
