package histories

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// Keep writes operations on one document into a directory: as lines of JSON, and
// as porcupine's picture, in which the longest orders that were found within the
// patience are shown. It returns the path of the picture.
func Keep(dir, name string, ops []*Op, patience time.Duration) (string, error) {
	path := filepath.Join(dir, strings.NewReplacer("/", "-", " ", "-").Replace(name))
	if err := Write(path+".jsonl", ops); err != nil {
		return "", err
	}
	_, info := porcupine.CheckOperationsVerbose(model, operations(ops), patience)
	return path + ".html", porcupine.VisualizePath(model, info, path+".html")
}

// Write writes operations as lines of JSON.
func Write(path string, ops []*Op) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	lines := json.NewEncoder(w)
	for _, o := range ops {
		err = errors.Join(err, lines.Encode(o))
	}
	return errors.Join(err, w.Flush(), f.Close())
}
