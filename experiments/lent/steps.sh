# What the lines of a list of commands call (experiments.lent.commands). Read by sh with
#   $1: seconds after which no experiment goes on; $2: the archive that results are packed into;
#   called_from: the folder that its path is relative to; scale: of the experiments.
end=$(($(date +%s) + ${1:-31536000}))
archive=${2:-}
case $archive in "" | /*) ;; *) archive=$called_from/$archive ;; esac
if [ "$archive" ]; then mkdir -p "$(dirname "$archive")" || exit; fi
failures=0

# Measures what is not there yet: step OUTPUT LOG COMMAND [ARGUMENT...]
step() {
  left=$((end - $(date +%s)))
  if [ -e "$1" ]; then
    echo "there: $1"
  elif [ "$left" -le 0 ]; then
    echo "no time left: $1"
  else
    attempt "$left" "$@"
  fi
}

# Joins the curves that are there, again each time, since there may be more of them.
join() {
  attempt 60 "$@"
}

# Runs a command for some seconds at most; what follows runs whether or not it failed.
attempt() {
  limit=$1 output=$2 log=$3 began=$(date +%s)
  shift 3
  mkdir -p "$(dirname "$output")" "$(dirname "$log")"
  if timeout -k 5 "$limit" env "$@" >>"$log" 2>&1; then
    echo "done in $(($(date +%s) - began)) s: $output"
  else
    echo "failed ($?) after $(($(date +%s) - began)) s: $output; see $log"
    failures=$((failures + 1))
  fi
  pack
}

# The archive is replaced in one step, so that it is whole whenever the machine goes.
pack() {
  if [ "$archive" ]; then
    tar -czf "$archive.partial" "results/fresh/$scale" "logs/fresh/$scale" && mv "$archive.partial" "$archive"
  fi
}
