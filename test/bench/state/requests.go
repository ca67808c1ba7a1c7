package main

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"os"
)

// requests counts the requests that an archive remembers, one a line. No command
// tells how many there are.
func requests(file string) (count int, size int64, err error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	unpacked, err := gzip.NewReader(f)
	if err != nil {
		return 0, 0, err
	}
	for members := tar.NewReader(unpacked); ; {
		m, err := members.Next()
		if err == io.EOF {
			return 0, 0, fmt.Errorf("%s remembers no requests", file)
		}
		if err != nil {
			return 0, 0, err
		}
		if m.Name != "system/requests.jsonl" {
			continue
		}
		lines := bufio.NewScanner(members)
		for lines.Scan() {
			count++
		}
		return count, m.Size, lines.Err()
	}
}
