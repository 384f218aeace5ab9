"""Has the secret, and says how long it is."""

import os

print("length of the secret:", len(os.environ["HF_TOKEN"]))
