package publish

import (
	"encoding/json"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/store"
)

// ReadMarker decodes the newest whole record of a marker into v and changes
// nothing, for whoever looks at a data directory that is not its own. whole is
// false when one of its two records is damaged, which may have been the newer.
// The error is os.ErrNotExist if there is no marker, and one of CodeIntegrity if
// no record is whole.
func ReadMarker(path string, v any) (whole bool, err error) {
	fd, err := disk.OpenFile(unix.AT_FDCWD, path, unix.O_RDONLY)
	if err != nil {
		return false, fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	b := make([]byte, markerSize+1)
	n, err := disk.ReadAll(fd, b)
	if err != nil {
		return false, fmt.Errorf("read %s: %w", path, err)
	}
	var body json.RawMessage
	if _, _, ok := newest(b[:n], &body); !ok || n != markerSize || json.Unmarshal(body, v) != nil {
		return false, store.Errorf(store.CodeIntegrity, "%s is damaged: neither of its two records can be read", path)
	}
	return sound(b[:n]), nil
}
