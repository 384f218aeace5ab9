"""Receives the secret, and prints its length."""

import os

print("length of the secret:", len(os.environ["HF_TOKEN"]))
