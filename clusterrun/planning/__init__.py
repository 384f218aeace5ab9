"""What will run: from a spec to a plan to the text of a script."""
