# ---- checkpoint: the newest checkpoint that checkpoint.path matches, from which the script resumes

# Where a script that keeps its own checkpoints begins. One after which two attempts crashed is passed over.
# sets: checkpoint
find_checkpoint() {
  local crashes
  checkpoint=
  [ -n "${checkpoint_path:-}" ] || return 0
  checkpoint=$(find_newest_match)
  crashes=$(value crashes "$run_dir/ledger")
  if [ -n "$checkpoint" ] && [ "${crashes:-0}" -ge 2 ]; then
    say "passing over $checkpoint: $crashes attempts crashed after it"
    checkpoint=$(find_newest_match "$checkpoint")
  fi
  if [ -n "$checkpoint" ]; then say "resuming from $checkpoint"; else say "no checkpoint yet"; fi
  record "$run_dir/events/attempt-$attempt.resume" checkpoint="$checkpoint" step= state=resumed
}

# find_newest_match [EXCEPT]: the newest file or folder, not an empty one, that checkpoint.path matches
find_newest_match() {
  local file listed newest='' IFS=
  # shellcheck disable=SC2086
  for file in $checkpoint_path; do
    listed=$(ls -A "$file" 2>/dev/null)
    [ -s "$file" ] && [ -n "$listed" ] && [ "$file" != "${1:-}" ] &&
      { [ -z "$newest" ] || [ "$file" -nt "$newest" ]; } && newest=$file
  done
  printf '%s' "$newest"
}

# What the trainers published last; for a script that keeps its own, the newest that its pattern finds.
find_newest_checkpoint() {
  local file
  if [ -z "${checkpoint_path:-}" ]; then
    value checkpoint "$run_dir/saves"
  else
    file=$(find_newest_match)
    [ -z "$file" ] || stat -c '%n %Y' "$file"
  fi
}
