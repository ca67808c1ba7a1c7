// Package crash enumerates what a machine that stops may leave on its disk.
//
// A Recorder is a disk that does each call for real and notes it. A State is
// what the calls so far have done, twice: as a process sees it, and as it is
// sure to be there after a power cut. From a State come the trees that a start
// may find: all of it, only what was synced, or a part in between.
//
// The model is stricter than ext4, xfs or btrfs are. The sync of a file saves its
// bytes and not its name; that of a directory the names in it and not the bytes
// behind them; nothing else ever reaches the disk for certain. Of what was not
// synced any 512 bytes may be there or not. The names in one directory change on
// the disk in the order of the calls, and a rename is never half done.
package crash
