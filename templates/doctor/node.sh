# The command that `clusterrun doctor --on-nodes` runs on each node. It reports one key=value per line.
folder=$CLUSTERRUN_RUN_DIR/output
mkdir -p "$folder"
report() { printf '%s=%s\n' "$1" "$2" >> "$folder/report-$SLURM_NODEID.part"; }
# Exchange files with the login machine, to measure how long that takes and how far the clocks differ.
: > "$folder/here-$SLURM_NODEID"
for try in $(seq 300); do
  ls "$folder" > /dev/null  # makes a network file system ask its server
  [ ! -e "$folder/ping-$SLURM_NODEID" ] || break
  sleep 0.2
done
date +%s.%N > "$folder/pong-$SLURM_NODEID.part"
mv "$folder/pong-$SLURM_NODEID.part" "$folder/pong-$SLURM_NODEID"
report host "$(hostname)"
report nodes "$SLURM_JOB_NUM_NODES"
report address "$MASTER_ADDR:$MASTER_PORT"
report tmp "$(df -Pk /tmp 2> /dev/null | awk 'NR == 2 {print $4}')"
report shm "$(df -Pk /dev/shm 2> /dev/null | awk 'NR == 2 {print $4}')"
report gpus "$(nvidia-smi -L 2> /dev/null | grep -c '^GPU ')"
report given "${SLURM_GPUS_ON_NODE:-}"
report python "$(command -v python || command -v python3)"
report versions "$("$(command -v python || command -v python3)" -c "$(base64 -d <<< "$doctor_versions")" 2>&1 | tail -n 1)"
# Try the address at which the ranks would meet: the first node listens there, the others connect.
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
report met "$met"
mv "$folder/report-$SLURM_NODEID.part" "$folder/report-$SLURM_NODEID"
