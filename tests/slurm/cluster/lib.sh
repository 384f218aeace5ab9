# shellcheck shell=bash
# Sourced by every script here; DIR is the cluster's folder.

NET=10.213.0
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# load DIR: the choices that `up` made
load() {
  [ -e "$1/vars" ] || die "no cluster in $1"
  # shellcheck source=/dev/null
  . "$1/vars"
}

# until_ok SECONDS COMMAND...
until_ok() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || die "never came true: $*"
    sleep 0.05
  done
}

init_of() { cat "$DIR/run/$1.init" 2>/dev/null; }

# A dead process that its parent has not waited for yet is dead.
alive() { [ -n "$1" ] && grep -qs '^State:[[:space:]][^ZX]' "/proc/$1/status"; }
dead() { ! alive "$1"; }

# on NAME COMMAND...: as root on the machine NAME, with an environment of its own
on() {
  local init
  init=$(init_of "$1") || die "$1 is off"
  shift
  nsenter -t "$init" -n -u -i -m -p env -i PATH="$PATH" LANG=C.UTF-8 "$@"
}

# spawn NAME DAEMON COMMAND...: the daemon becomes a child of NAME's init, which reaps it
spawn() {
  local name=$1 daemon=$2
  shift 2
  # shellcheck disable=SC2016
  on "$name" bash -c '
    out=$1 pid=$2; shift 2
    setsid "$@" </dev/null >>"$out" 2>&1 & echo $! >"$pid"
  ' spawn "$DIR/log/$daemon.out" "$DIR/run/$daemon.pid" "$@"
}

# signal NAME DAEMON SIGNAL: and wait until the daemon is gone
signal() {
  local pid
  pid=$(cat "$DIR/run/$2.pid")
  on "$1" kill "-$3" "$pid" || return 0
  until_ok 30 on "$1" sh -c "! kill -0 $pid"
}

# ---- machines: a set of namespaces each, all inside the controller's pid namespace,
# ---- so that the end of the controller's init is the end of every process of the cluster

power_on() {
  local name=$1 inside=() outer next
  [ "$name" = ctl ] || inside=(nsenter -t "$(init_of ctl)" -p)
  setsid "${inside[@]}" unshare --net --uts --ipc --mount --pid --fork --kill-child --mount-proc \
    "$HERE/init" "$DIR" "$name" </dev/null >>"$DIR/log/$name.init.out" 2>&1 &
  outer=$!
  until_ok 10 test -e "$DIR/run/$name.ready"
  rm "$DIR/run/$name.ready"
  # the init is the last of a chain of only children, and its pid here is not the one it sees
  while next=$(cat "/proc/$outer/task/$outer/children") && [ -n "$next" ]; do outer=${next% }; done
  echo "$outer" >"$DIR/run/$name.init"
}

power_off() {
  local init
  init=$(init_of "$1") || return 0
  kill -KILL "$init" 2>/dev/null || :
  until_ok 20 dead "$init"
  rm "$DIR/run/$1.init"
}

# plug_in NAME ADDRESS: a cable from NAME to the switch, which is a bridge on the controller
plug_in() {
  local name=$1 address=$2 ctl
  ctl=$(init_of ctl)
  on ctl ip link del "port-$name" 2>/dev/null || :
  nsenter -t "$ctl" -n ip link add "port-$name" type veth \
    peer name eth0 netns "$(init_of "$name")"
  on "$name" ip addr add "$address/24" dev eth0
  on "$name" ip link set eth0 up
  on ctl ip link set "port-$name" master br0 up
}

boot_node() {
  mkdir -p "$DIR/spool/$1"
  power_on "$1"
  plug_in "$1" "$NET.$((10 + ${1#n}))"
  start_daemon "$1" slurmd
}

# start_daemon NAME DAEMON
start_daemon() {
  case $2 in
    slurmd) spawn "$1" "slurmd-$1" slurmd -D -N "$1" ;;
    slurmctld) spawn "$1" slurmctld slurmctld -D ;;
    slurmdbd) spawn "$1" slurmdbd env MYSQL_UNIX_PORT="$DIR/run/mysql.sock" slurmdbd -D ;;
    munged)
      spawn "$1" munged munged -F --num-threads 4 --key-file "$DIR/etc/munge.key" \
        --socket "$DIR/run/munge.socket" --seed-file "$DIR/run/munge.seed" \
        --pid-file "$DIR/run/munged.own.pid" --log-file "$DIR/log/munged.log"
      ;;
    mariadbd)
      # what is lost with this machine need not be on its disk
      spawn "$1" mariadbd mariadbd --no-defaults --user=root --datadir="$DIR/db" \
        --socket="$DIR/run/mysql.sock" --pid-file="$DIR/run/mariadbd.own.pid" \
        --skip-networking --innodb-buffer-pool-size=128M \
        --innodb-flush-log-at-trx-commit=0 --innodb-lock-wait-timeout=900
      ;;
    *) die "no such daemon: $2" ;;
  esac
}
