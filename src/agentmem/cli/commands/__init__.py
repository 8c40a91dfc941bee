"""The commands, one module per family; ``cli.app`` loads each when it is needed."""
