# What `clusterrun doctor --on-nodes` runs on each node, as a run's command. It tells one key=value a line.
folder=$CLUSTERRUN_RUN_DIR/output
mkdir -p "$folder"
tell() { printf '%s=%s\n' "$1" "$2" >> "$folder/report-$SLURM_NODEID.part"; }
# A file from here to the login machine, and one back: how long that takes, and whose clock is ahead.
: > "$folder/here-$SLURM_NODEID"
for try in $(seq 300); do
  ls "$folder" > /dev/null  # a network file system looks again
  [ ! -e "$folder/ping-$SLURM_NODEID" ] || break
  sleep 0.2
done
date +%s.%N > "$folder/pong-$SLURM_NODEID.part"
mv "$folder/pong-$SLURM_NODEID.part" "$folder/pong-$SLURM_NODEID"
tell host "$(hostname)"
tell nodes "$SLURM_JOB_NUM_NODES"
tell address "$MASTER_ADDR:$MASTER_PORT"
tell tmp "$(df -Pk /tmp 2> /dev/null | awk 'NR == 2 {print $4}')"
tell shm "$(df -Pk /dev/shm 2> /dev/null | awk 'NR == 2 {print $4}')"
tell gpus "$(nvidia-smi -L 2> /dev/null | grep -c '^GPU ')"
tell given "${SLURM_GPUS_ON_NODE:-}"
tell python "$(command -v python || command -v python3)"
tell versions "$("$(command -v python || command -v python3)" -c "$(base64 -d <<< "$doctor_versions")" 2>&1 | tail -n 1)"
# Where the ranks would meet: the first node listens there, the others come.
listen='import os, socket
with socket.create_server((os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))) as server:
    server.settimeout(30)
    for _ in range(int(os.environ["SLURM_JOB_NUM_NODES"]) - 1):
        server.accept()[0].sendall(b"met\n")'
if [ "$SLURM_JOB_NUM_NODES" = 1 ]; then
  met=alone
elif [ "$SLURM_NODEID" = 0 ]; then
  met=$("$(command -v python3 || command -v python)" -c "$listen" 2>&1 | tail -n 1)
  met=${met:-met}
else
  for try in $(seq 20); do
    met=$(timeout 5 bash -c 'exec 3<> "/dev/tcp/$MASTER_ADDR/$MASTER_PORT" && read -r word <&3 && echo "$word"' 2>&1 | tail -n 1)
    [ "$met" != met ] || break
    sleep 1
  done
fi
tell met "$met"
mv "$folder/report-$SLURM_NODEID.part" "$folder/report-$SLURM_NODEID"
