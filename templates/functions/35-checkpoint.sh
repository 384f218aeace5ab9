# ---- checkpoint: finds the newest checkpoint that checkpoint.path matches; the training script resumes from it

# Choose the checkpoint for a training script that saves its own. One after which two attempts crashed is skipped.
# sets: checkpoint
find_checkpoint() {
  local crashes
  checkpoint=
  [ -n "${checkpoint_path:-}" ] || return 0
  checkpoint=$(find_newest_match)
  crashes=$(read_value crashes "$run_dir/ledger")
  if [ -n "$checkpoint" ] && [ "${crashes:-0}" -ge 2 ]; then
    log_message "skipping $checkpoint: $crashes attempts crashed after it"
    checkpoint=$(find_newest_match "$checkpoint")
  fi
  if [ -n "$checkpoint" ]; then log_message "resuming from $checkpoint"; else log_message "no checkpoint yet"; fi
  write_record "$run_dir/events/attempt-$attempt.resume" checkpoint="$checkpoint" step= state=resumed
}

# find_newest_match [EXCEPT]: print the newest file or folder that checkpoint.path matches and that is not empty
find_newest_match() {
  local file content newest='' IFS=
  # shellcheck disable=SC2086
  for file in $checkpoint_path; do
    content=$(ls -A "$file" 2>/dev/null)
    [ -s "$file" ] && [ -n "$content" ] && [ "$file" != "${1:-}" ] &&
      { [ -z "$newest" ] || [ "$file" -nt "$newest" ]; } && newest=$file
  done
  printf '%s' "$newest"
}

# Print the checkpoint that the training library published last, or the newest one that the script saved itself.
find_newest_checkpoint() {
  local file
  if [ -z "${checkpoint_path:-}" ]; then
    read_value checkpoint "$run_dir/saves"
  else
    file=$(find_newest_match)
    [ -z "$file" ] || stat -c '%n %Y' "$file"
  fi
}
