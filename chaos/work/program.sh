# program.sh: the work that a POSIX shell does in a sandbox. It tells the lab in side files what it does,
# before it does it: whoever judges the exec reads those, and not what the exec's server says.
#
#   sh program.sh SIDE_FOLDER KIND OUT ERR EXIT_CODE SIGNAL SECONDS COUNT
#
# OUT and ERR are written as they are. Each record is one short line, and so one write: a file without a
# line end has not been written yet. Times are seconds since boot, which a shell can read without a fork.
side=$1 kind=$2 out=$3 err=$4 code=$5 signal=$6 seconds=$7 count=$8
export LC_ALL=C

now() { read -r up _ </proc/uptime; }
read -r stat </proc/$$/stat
now
# Appended: a second start under the same pid would be a second line.
echo "start $$ $up ${stat##*) }" >>"$side/start.$$"

say() {
  printf %s "$out"
  printf %s "$err" >&2
}
# record exit|signal WHAT: all that was written has been written by now.
record() {
  now
  echo "$1 $2 ${#out} ${#err} 0 $up" >"$side/end.$$"
}
finish() {
  record exit "$code"
  exit "$code"
}
# A shell tells on its stderr that a child of it was ended by a signal: not a word of ours, so not there.
mind_own_stderr() { exec 3>&2 2>/dev/null; }
asked_to_end() {
  now
  echo "$up" >"$side/term.$$"
}

case $kind in
short)
  say
  ;;
silent)
  sleep "$seconds"
  say
  ;;
polite) # says its words at the start and, when asked to end, ends with its own code
  asked=
  trap 'asked=1; asked_to_end' TERM
  say
  mind_own_stderr
  trap 'asked_to_end; finish' TERM
  [ -n "$asked" ] && finish
  sleep "$seconds" &
  wait $!
  ;;
stubborn) # hears TERM and goes on
  trap 'asked_to_end' TERM INT HUP
  say
  mind_own_stderr
  now
  end=$((${up%.*} + ${seconds%.*} + 1))
  while now && [ "${up%.*}" -lt "$end" ]; do
    sleep 0.1
  done
  ;;
signal) # dies by a signal that it sends itself
  say
  ulimit -c 0
  record signal "$signal"
  kill -"$signal" $$
  sleep 5
  ;;
holder) # leaves a child behind that holds its output open
  sleep "$seconds" &
  echo "$!" >"$side/left.$!"
  say
  ;;
leaver) # leaves a child behind in a session of its own, holding nothing
  setsid sleep "$seconds" </dev/null >/dev/null 2>&1 &
  echo "$!" >"$side/left.$!"
  say
  ;;
family) # has children and grandchildren, and waits for them
  (
    sleep "$seconds" &
    setsid sleep "$seconds" &
    wait
  ) &
  say
  wait
  ;;
forks)
  i=0
  while [ "$i" -lt "$count" ]; do
    (:) &
    i=$((i + 1))
  done
  wait
  say
  ;;
deaf) # reads one line of its input and no more
  read -r _
  say
  ;;
*)
  echo "no such work: $kind" >&2
  exit 99
  ;;
esac
finish
