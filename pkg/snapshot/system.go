package snapshot

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/cpctl/cpctl/pkg/store"
)

// takeSystem takes a document below system/. What it says is not known here; its
// form is that of encoding/json with an indent of two spaces. Names that a disk
// might take for one another are looked for here only: those of published
// documents have no letter in upper case but in escapes, of which there is one
// spelling.
func (rd *reader) takeSystem(path string, b []byte) error {
	lower := strings.ToLower(path)
	if other, ok := rd.folded[lower]; ok {
		return damaged("members %q and %q differ in case only", other, path)
	}
	rd.folded[lower] = path
	var flat, again bytes.Buffer
	if err := json.Compact(&flat, b); err != nil {
		return err
	}
	if err := json.Indent(&again, flat.Bytes(), "", "  "); err != nil {
		return err
	}
	if again.WriteByte('\n'); !bytes.Equal(again.Bytes(), b) {
		return fmt.Errorf("is not in canonical form")
	}
	return rd.tx.Load(path, b)
}

// takeStaged takes a document of the open stage. Its revision is that of the
// archive it came from, or none yet.
func (rd *reader) takeStaged(path string, b []byte) error {
	if _, err := store.DecodeDoc(path, b); err != nil {
		return err
	}
	return rd.stage(path, bytes.Clone(b))
}

// stage stages a document or a deletion, inside an open stage and its bound.
func (rd *reader) stage(path string, b []byte) error {
	if rd.tx.OpenStage() == nil {
		return fmt.Errorf("no stage is open")
	}
	before := rd.tx.StageBytes()
	if err := rd.tx.PutStaged(path, b); err != nil {
		return err
	}
	after := rd.tx.StageBytes()
	if after != before+int64(len(b)) {
		return fmt.Errorf("%s is staged twice", path)
	}
	if after > store.MaxStage {
		return fmt.Errorf("more than %d bytes are staged", store.MaxStage)
	}
	return nil
}

func (rd *reader) takeDeletions(body io.Reader) error {
	last := ""
	for line, err := range lines(body) {
		if err != nil {
			return err
		}
		path := strings.TrimSuffix(string(line), "\n")
		if path <= last {
			return fmt.Errorf("%q is out of order or there twice", path)
		}
		if err := rd.stage(path, nil); err != nil {
			return err
		}
		last = path
	}
	if last == "" {
		return fmt.Errorf("is empty")
	}
	return nil
}

// lines yields the lines of a member with their line ends, each valid until the
// next. An error ends them: the reader's, a line that is too long, or a last
// one without an end.
func lines(body io.Reader) func(yield func([]byte, error) bool) {
	return func(yield func([]byte, error) bool) {
		br := bufio.NewReaderSize(body, 16<<10)
		var long []byte
		for {
			part, err := br.ReadSlice('\n')
			if err == nil && len(long) == 0 {
				if !yield(part, nil) {
					return
				}
				continue
			}
			long = append(long, part...)
			switch {
			case err == nil:
				if !yield(long, nil) {
					return
				}
				long = long[:0]
			case len(long) > maxLine:
				yield(nil, fmt.Errorf("a line is longer than %d bytes", maxLine))
				return
			case err == io.EOF && len(long) == 0:
				return
			case err == io.EOF:
				yield(nil, fmt.Errorf("the last line has no end"))
				return
			case err != bufio.ErrBufferFull:
				yield(nil, err)
				return
			}
		}
	}
}
