# shellcheck shell=bash
# Sourced by `up`: writes the files of DIR/etc. Needs DIR NODES GPUS GPU_TYPE ACCOUNTING CGROUP SUITE EXTRA.

write_hosts() {
  local i
  echo "127.0.0.1 localhost"
  echo "$NET.1 login"
  echo "$NET.2 ctl"
  for ((i = 1; i <= NODES; i++)); do echo "$NET.$((10 + i)) n$i"; done
}

# write_users: the machine's own users, and the two whose jobs are tested
write_users() {
  local name uid=20000
  for name in passwd group shadow; do
    cp -p "/etc/$name" "$DIR/etc/$name"
    sed -i -e '/^\(alice\|bob\|research\):/d' "$DIR/etc/$name"
  done
  echo "research:x:20000:" >>"$DIR/etc/group"
  for name in alice bob; do
    uid=$((uid + 1))
    echo "$name:x:$uid:20000:$name:$DIR/home/$name:/bin/bash" >>"$DIR/etc/passwd"
    # without an entry here the `su` of `sbatch --export=NONE` is refused
    echo "$name:*:19000:0:99999:7:::" >>"$DIR/etc/shadow"
    install -d -m 700 -o $uid -g 20000 "$DIR/home/$name"
  done
}

# cred_expire: a requeued job waits for it, 120 s by default; 2 is refused
slurm_conf() {
  cat <<C
ClusterName=cluster
SlurmctldHost=ctl($NET.2)
SlurmUser=root
AuthInfo=socket=$DIR/run/munge.socket,cred_expire=5
StateSaveLocation=$DIR/state
SlurmdSpoolDir=$DIR/spool/%n
SlurmctldPidFile=$DIR/run/slurmctld.own.pid
SlurmdPidFile=$DIR/run/slurmd-%n.own.pid
SlurmctldLogFile=$DIR/log/slurmctld.log
SlurmdLogFile=$DIR/log/slurmd-%n.log
SlurmctldDebug=verbose
SlurmdDebug=verbose
SrunPortRange=60001-63000
ProctrackType=proctrack/${CGROUP:-linuxproc}
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=5
JobCompType=jobcomp/none
MpiDefault=none
ReturnToService=2
MailProg=/bin/true
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
SlurmdTimeout=10
SlurmctldTimeout=10
InactiveLimit=0
KillWait=5
MinJobAge=300
MessageTimeout=10
MaxJobCount=20000
MaxArraySize=20001
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2,sched_min_interval=0,batch_sched_delay=0,bf_continue
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
C
  if [ "$ACCOUNTING" = dbd ]; then
    cat <<C
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=$NET.2
AccountingStoragePass=$DIR/run/munge.socket
AccountingStorageTRES=gres/gpu
C
  else
    echo "AccountingStorageType=accounting_storage/none"
  fi
}

# with_extra: stdin, less the keys that -x names (Slurm refuses a key twice), and the -x lines
with_extra() {
  local line keys=()
  for line in "${EXTRA[@]}"; do
    case $line in NodeName=* | PartitionName=*) ;; *) keys+=(-e "^${line%%=*}=") ;; esac
  done
  if [ ${#keys[@]} = 0 ]; then cat; else grep -iv "${keys[@]}"; fi
}

nodes_and_partitions() {
  local i
  for ((i = 1; i <= NODES; i++)); do
    echo "NodeName=n$i NodeAddr=$NET.$((10 + i)) CPUs=128 RealMemory=512000$GRES"
  done
  cat <<C
PartitionName=DEFAULT Nodes=ALL MaxTime=INFINITE DefaultTime=60 State=UP
PartitionName=main Default=YES PriorityTier=5 PreemptMode=OFF
PartitionName=low PriorityTier=1 PreemptMode=REQUEUE GraceTime=15
PartitionName=low0 PriorityTier=1 PreemptMode=REQUEUE GraceTime=0
PartitionName=lowc PriorityTier=1 PreemptMode=CANCEL GraceTime=15
PartitionName=lowc0 PriorityTier=1 PreemptMode=CANCEL GraceTime=0
PartitionName=fixed PriorityTier=5 PreemptMode=OFF
PartitionName=high PriorityTier=10 PreemptMode=OFF
C
}

# write_gpus: device nodes; a plain file would leave CUDA_VISIBLE_DEVICES empty
write_gpus() {
  local i
  GRES=
  [ "$GPUS" -gt 0 ] || return 0
  GRES=" Gres=gpu:$GPU_TYPE:$GPUS"
  for ((i = 0; i < GPUS; i++)); do mknod "$DIR/dev/gpu$i" c 1 3; done
  echo "NodeName=n[1-$NODES] Name=gpu Type=$GPU_TYPE File=$DIR/dev/gpu[0-$((GPUS - 1))]" \
    >"$DIR/etc/slurm/gres.conf"
}

slurmdbd_conf() {
  cat <<C
DbdHost=ctl
DbdAddr=$NET.2
AuthType=auth/munge
AuthInfo=socket=$DIR/run/munge.socket
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_acct_db
LogFile=$DIR/log/slurmdbd.log
PidFile=$DIR/run/slurmdbd.own.pid
DebugLevel=info
C
}

# cgroup_conf: newer Slurm needs a setting to run without any cgroup
cgroup_conf() {
  if [ -n "$CGROUP" ]; then
    printf '%s\n' CgroupPlugin=cgroup/v1 CgroupMountpoint=/sys/fs/cgroup
    ! older_than 2305 || echo CgroupAutomount=no
  elif ! older_than 2305; then
    echo CgroupPlugin=disabled
  fi
}

# older_than NUMBER: whether the cluster's Slurm is; 23.05 is 2305
older_than() {
  local version
  version=$(${SUITE:+chroot "$SUITE"} slurmd -V | sed 's/^[^ ]* \([0-9]*\)\.\([0-9]*\).*/\1\2/')
  [ "$version" -lt "$1" ]
}

write_conf() {
  local etc=$DIR/etc/slurm
  write_hosts >"$DIR/etc/hosts"
  write_users
  write_gpus
  slurm_conf | with_extra >"$etc/slurm.conf"
  printf '%s\n' "${EXTRA[@]}" >>"$etc/slurm.conf"
  nodes_and_partitions >>"$etc/slurm.conf"
  cgroup_conf >"$etc/cgroup.conf"
  [ -s "$etc/cgroup.conf" ] || rm "$etc/cgroup.conf"
  (umask 077 && slurmdbd_conf >"$etc/slurmdbd.conf")
  (umask 077 && head -c 128 /dev/urandom >"$DIR/etc/munge.key")
}
