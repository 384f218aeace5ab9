"""What code a run was submitted with: the commit, and a patch of what was not committed."""
