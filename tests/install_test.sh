#!/bin/sh
# Installs a build to a folder, moves the folder and runs it there with an empty home: it must carry
# all that it needs and find the software GPU that it carries.
#   tests/install_test.sh CMAKE BUILD
set -eu
cmake=$1
build=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

for component in runtime software; do
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
exit $failed
