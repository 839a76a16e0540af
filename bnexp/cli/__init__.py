"""The command line: ``main.py`` is the door, one file a command."""
