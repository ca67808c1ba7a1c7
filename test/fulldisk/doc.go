// Package fulldisk is a package of tests: nodes whose disks are full, out of
// inodes, read-only or broken. The disks are small tmpfs file systems, loop
// devices, and system calls that strace makes fail.
//
// What has to hold: a log that cannot be written ends the process at once, with
// exit 13 and a message that names the file, and nothing that was acknowledged
// is missing afterwards. Files that cannot be written make the node degraded: it
// goes on, another one leads, reads are answered, and it puts everything right by
// itself when it can. The leader takes no changes before a log is full. And no
// temporary file is left behind.
//
// The tests mount, so they need root, and some need strace or mkfs.ext4; where
// that is missing they are skipped and say so. They run in a mount namespace of
// their own.
package fulldisk
