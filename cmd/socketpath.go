package cmd

// fitsSocket refuses a path that no socket can have, before anything is made there.
func fitsSocket(path string) error {
	const most = 107 // bytes, of the kernel
	if len(path) > most {
		return usagef("%s is too long: the path of a socket has at most %d bytes, and this is of %d", path, most, len(path)).
			WithHint("take a shorter --data-dir, or name it as seen from where the node is started")
	}
	return nil
}
