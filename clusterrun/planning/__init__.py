"""What will run: from a spec to a plan, and from a plan to the text of the job script."""
