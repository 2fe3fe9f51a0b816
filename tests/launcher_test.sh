#!/bin/sh
# Checks a build's launcher: what it passes on, and which Vulkan drivers it names.
#   tests/launcher_test.sh LAUNCHER
set -eu
launch=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
unset VK_DRIVER_FILES VK_ICD_FILENAMES VK_ADD_DRIVER_FILES LD_LIBRARY_PATH
export HOME="$work"

# Expect WHAT GOT WANT
Expect() {
  [ "$2" = "$3" ] || { echo "$1: got '$2', want '$3'"; failed=1; }
}
# Status COMMAND...: prints its exit status
Status() { "$@" >/dev/null 2>&1 && echo 0 || echo $?; }

Expect 'exit status' "$(Status "$launch" /bin/sh -c 'exit 7')" 7
Expect 'arguments' "$("$launch" /bin/sh -c 'printf "%s|" "$@"' x 'a b' '' '*')" 'a b||*|'
Expect 'no program' "$(Status "$launch")" 2
Expect 'missing program' "$(Status "$launch" "$work/absent")" 127
Expect 'program name' "$("$launch" /bin/sh -c 'echo "$0"')" /bin/sh

# A signal reaches the program itself, for the launcher has become it.
"$launch" /bin/sh -c 'trap "exit 42" TERM; echo up >"$0"; while :; do sleep 0.05; done' \
  "$work/up" &
pid=$!
while [ ! -s "$work/up" ]; do sleep 0.05; done
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
Expect 'signal' "$status" 42

RuntimeFolder() { "$launch" /bin/sh -c 'echo "$XDG_RUNTIME_DIR"'; }
Expect 'runtime folder kept' "$(XDG_RUNTIME_DIR=$work RuntimeFolder)" "$work"
runtime=$(TMPDIR=$work XDG_RUNTIME_DIR='' RuntimeFolder)
Expect 'runtime folder made' "$(stat -c %a "$runtime")" 700

# The rest concerns the private prefix, which a system with a Dawn of its own does without.
if grep -q "^lib=''" "$launch"; then exit $failed; fi

Drivers() { "$launch" /bin/sh -c 'echo ":${VK_DRIVER_FILES:-}:"'; }
case $(Drivers) in *:*/lvp_icd*.json:*) ;; *) echo "no software GPU in $(Drivers)"; failed=1 ;; esac

host=$work/.config/vulkan/icd.d
mkdir -p "$host" "$work/driver"
echo '{"ICD": {"library_path": "'"$work"'/driver/libvulkan_some.so"}}' >"$host/some_icd.json"
cp "$host/some_icd.json" "$host/twice_icd.json"
printf '{\n  "ICD": {\n    "library_path": "libvulkan_lvp.so"\n  }\n}' >"$host/old_mesa.json"
case $(Drivers) in
  *":$host/some_icd.json:"*) ;; *) echo 'the host driver is not named'; failed=1 ;;
esac
case $(Drivers) in *twice_icd*) echo 'a driver is named twice'; failed=1 ;; esac
case $(Drivers) in *old_mesa*) echo "the host's Mesa shadows the prefix's"; failed=1 ;; esac
case $("$launch" /bin/sh -c 'tr "\0" "\n" </proc/$$/cmdline') in
  *":$work/driver"*) ;; *) echo "a driver's folder is not searched"; failed=1 ;;
esac

Expect "the user's drivers" "$(VK_DRIVER_FILES=/mine.json Drivers)" ':/mine.json:'
case $(VK_ADD_DRIVER_FILES=/mine.json Drivers) in
  *:/mine.json:*) ;; *) echo 'a further driver is not named'; failed=1 ;;
esac
exit $failed
