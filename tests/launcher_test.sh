#!/bin/sh
# Checks a build's launcher: what it passes on, and which Vulkan drivers it names.
#   tests/launcher_test.sh LAUNCHER
set -eu
launch=$(readlink -f "$1")
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
Expect 'program in PATH' "$("$launch" sh -c 'echo found')" found
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
export XDG_RUNTIME_DIR=
runtime=$work/sinter-runtime-$(id -u)
Expect 'runtime folder made' "$(TMPDIR=$work RuntimeFolder)" "$runtime"
Expect 'its mode' "$(stat -c %a "$runtime")" 700
Expect 'runtime folder used again' "$(TMPDIR=$work RuntimeFolder)" "$runtime"

# What is no private folder is left alone, and another name is taken, the same one each time.
# NotTaken WHAT: the runtime folder is the second name, of mode 700
NotTaken() {
  Expect "$1" "$(TMPDIR=$work RuntimeFolder)" "$runtime-1"
  Expect "$1: mode" "$(stat -c '%F %a' "$runtime-1")" 'directory 700'
  rm -rf "$runtime" "$runtime-1"
}
rmdir "$runtime"
: >"$runtime"
NotTaken 'a file in its place'
ln -s "$work/nowhere" "$runtime"
NotTaken 'a dangling link'
mkdir -m 700 "$work/mine"
ln -s "$work/mine" "$runtime"
NotTaken 'a link to a folder'
mkdir -m 777 "$runtime"
chmod 777 "$runtime"
NotTaken 'a folder of mode 777'
mkfifo "$runtime"
NotTaken 'a FIFO'

mkdir "$work/with space" "$work/sub"
Expect 'TMPDIR with a space' "$(TMPDIR="$work/with space" RuntimeFolder)" \
  "$work/with space/sinter-runtime-$(id -u)"
Expect 'a relative TMPDIR' "$(cd "$work" && TMPDIR=sub RuntimeFolder)" \
  "$work/sub/sinter-runtime-$(id -u)"
for odd in "$work/none" /dev/null /proc "
"; do
  Expect "TMPDIR $odd" "$(TMPDIR=$odd Status "$launch" /bin/sh -c '[ -d "$XDG_RUNTIME_DIR" ]')" 0
done
Expect 'a runtime folder that is missing' "$(XDG_RUNTIME_DIR=$work/none TMPDIR=$work RuntimeFolder)" \
  "$runtime"
Expect 'a relative runtime folder' "$(cd "$work" && XDG_RUNTIME_DIR=sub TMPDIR=$work RuntimeFolder)" \
  "$runtime"
unset XDG_RUNTIME_DIR

# The rest concerns the private prefix, which a system with a Dawn of its own does without.
if grep -q "^lib=''" "$launch"; then exit $failed; fi

# The prefix is in a cache, which people clear. Programs are built in another place.
sed "s|^lib=.*|lib='$work/cleared'|" "$launch" >"$work/launch"
chmod +x "$work/launch"
Expect 'no prefix' "$(Status "$work/launch" /bin/true)" 127
case $("$work/launch" /bin/true 2>&1) in
  "launch: $work/cleared (Dawn and its libraries) is not there; run 'make demo' again in "/*) ;;
  *) echo "no prefix: got '$("$work/launch" /bin/true 2>&1)'"; failed=1 ;;
esac

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
