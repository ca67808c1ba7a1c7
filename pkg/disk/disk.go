// Package disk is the calls by which cpctl changes its disk, and the few
// compositions of them that everybody needs: a file that is saved whole, a
// directory that is made or removed with all that is in it. It knows nothing of
// what the files hold. A test gives its callers an FS that fails, or one that
// notes each call. raft.db is not written through it: bbolt has calls of its own.
//
// What a call promises is what POSIX does, and no more: bytes are on the disk
// after Sync or Datasync of their file, and a name after Sync of its directory.
package disk

// FS is the calls that change the disk. A file is named by its directory's
// descriptor and one name, an open one by its own descriptor.
type FS interface {
	Mkdir(dir int, name string, mode uint32) error
	Create(dir int, name string, mode uint32) (fd int, err error) // for reading and writing; it must not exist
	Write(fd int, b []byte) error                                 // all of it, at the descriptor's position
	Pwrite(fd int, b []byte, offset int64) error                  // all of it
	Truncate(fd int, size int64) error
	Rename(from int, name string, to int, newName string) error
	Exchange(a int, name string, b int, otherName string) error // both exist before and after
	Unlink(dir int, name string) error
	Rmdir(dir int, name string) error
	Chmod(fd int, mode uint32) error
	Chown(fd int, gid int) error
	Sync(fd int) error     // of a file or of a directory
	Datasync(fd int) error // the bytes and the size of a file
}

// Or returns fs, or the real disk if it is nil.
func Or(fs FS) FS {
	if fs == nil {
		return Real{}
	}
	return fs
}
