# Makes an archive of a small Debian 13 out of Debian's packages. Runs as root, with a folder to work in and the archive.
set -eu
folder=$1
archive=$2
root=$folder/debian

rm -rf "$root"
mkdir -p "$folder"
debootstrap --variant=minbase --include=ca-certificates trixie "$root"
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* "$root"/usr/share/man/* \
    "$root"/usr/share/locale/*
tar --create --file "$archive.part" --directory "$root" --one-file-system .
mv "$archive.part" "$archive"
rm -rf "$root"
