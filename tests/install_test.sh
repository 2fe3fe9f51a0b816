#!/bin/sh
# Installs a build to a folder, moves the folder and runs it there with an empty home: it must carry
# all that it needs and find the software GPU that it carries. Then builds the examples against it, in
# both ways that it offers, and runs them.
#   tests/install_test.sh CMAKE BUILD
set -eu
cmake=$1
build=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

for component in runtime software development; do
  "$cmake" --install "$build" --prefix "$work/first" --component $component >/dev/null
done
mv "$work/first" "$work/moved here"
root="$work/moved here"
ln -s "$root/bin/sinter" "$work/link"

grep -q 'The Sinter authors' "$root/share/doc/sinter/LICENSE" || { echo "the licence is missing"; failed=1; }

# man and the shells find what the program says of its options.
for file in man/man1/sinter.1 bash-completion/completions/sinter zsh/site-functions/_sinter \
  fish/vendor_completions.d/sinter.fish; do
  grep -q max-length "$root/share/$file" || grep -q 'max\\-length' "$root/share/$file" ||
    { echo "share/$file is missing, or lacks an option"; failed=1; }
done

# Every library comes from the folder itself.
lib=$root/lib/sinter
for object in "$lib/sinter" "$lib/libvulkan_lvp.so"; do
  if "$lib/ld-linux-x86-64.so.2" --library-path "$lib" --list "$object" |
    grep -v -F -e "$lib/" -e linux-vdso; then
    echo "$object loads the libraries above from elsewhere"
    failed=1
  fi
done

# An empty environment: no home, no cache, no runtime folder, none of the host's drivers.
output=$(env -i PATH=/usr/bin:/bin TMPDIR="$work" "$work/link" devices 2>&1) || failed=1
case $output in
  *llvmpipe*) ;;
  *) echo "the software GPU is not found: $output"; failed=1 ;;
esac

# Shaders come from the user's cache, as in other tests.
cache=${XDG_CACHE_HOME:-$HOME/.cache}
demo=$(dirname "$0")/../models/demo
# Run STATUS WANT PROGRAM ARGS...: runs a program through the launcher, expects an exit status and a
# text in its output
Run() {
  want_status=$1
  want=$2
  shift 2
  status=0
  output=$(env -i PATH=/usr/bin:/bin TMPDIR="$work" XDG_CACHE_HOME="$cache" \
    SINTER_TEST_DEVICE="${SINTER_TEST_DEVICE:-}" "$root/bin/sinter-launch" "$@" 2>&1) || status=$?
  case $status:$output in
    $want_status:*"$want"*) ;;
    *) echo "$*: got $status and '$output', want $want_status and '$want'"; failed=1 ;;
  esac
}
examples=$root/share/doc/sinter/examples
"$cmake" -S "$examples" -B "$work/build" -DCMAKE_PREFIX_PATH="$root" >/dev/null
"$cmake" --build "$work/build" >/dev/null
Run 0 '7 + 8 = 15.' "$work/build/answer" "$demo" 'What is 7 + 8?'
Run 0 '3 + 4 = 7.' "$work/build/many" "$demo" 'What is 7 + 8?' 'What is 3 + 4?' 'What is 2 + 9?'
Run 1 "[model] '/nowhere'" "$work/build/answer" /nowhere Hi

# The header is C99 and C++17, and says nothing that a strict compiler would not take.
flags=$(PKG_CONFIG_PATH=$root/lib/pkgconfig pkg-config --cflags --libs sinter)
eval "cc -std=c99 -pedantic -Wall -Wextra -Werror -o '$work/answer' '$examples/answer.c' $flags"
eval "c++ -std=c++17 -pedantic -Wall -Wextra -Werror -fsyntax-only '$examples/many.cpp' $flags"
Run 0 '7 + 8 = 15.' "$work/answer" "$demo" 'What is 7 + 8?'
exit $failed
