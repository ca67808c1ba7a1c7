package snapshot

import (
	"bufio"
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/cpctl/cpctl/pkg/store"
	"github.com/klauspost/compress/gzip"
)

// Contents is an archive that was read and verified.
type Contents struct {
	Manifest Manifest
	Image    *store.Image // the state; its digests are the manifest's
	Members  int          // of the archive, manifest and sums included
	Size     int64        // of the archive, in bytes
	SHA256   string       // of the archive's bytes, in hex
}

// Read reads an archive to the end of r and verifies all of it. It returns
// either the whole state or an error:
//   - *store.Error of CodeIntegrity, one line that names the member, for what is
//     damaged, truncated, foreign, hostile or beyond a limit;
//   - *store.Error of CodeNewer for an intact archive of a newer major format
//     version, of a level above lim.MaxLevel, or with documents of a newer format;
//   - the error of r, wrapped, when r fails.
//
// Memory is bounded by the state that the archive holds, never by what a header
// or a compressed stream claims.
func Read(r io.Reader, lim Limits) (*Contents, error) {
	_, c, err := read(r, lim)
	return c, err
}

// read also returns the manifest, as far as it could be read, when the rest fails.
func read(from io.Reader, lim Limits) (*Manifest, *Contents, error) {
	whole := sha256.New()
	src := &source{r: from, sum: whole}
	rd := &reader{lim: lim.withDefaults(), tx: store.NewImage().Begin(), hash: sha256.New(), folded: map[string]string{}}
	rd.docs.judge, rd.docs.load = (*pendingDoc).judge, rd.loadDoc
	rd.records.judge, rd.records.load = (*pendingRecord).judge, rd.loadRecord
	img, err := rd.archive(src)
	rd.docs.wait() // after a fault of what was read meanwhile
	rd.records.wait()
	if err != nil {
		return rd.shown, nil, rd.explain(err, src)
	}
	return rd.shown, &Contents{
		Manifest: rd.manifest, Image: img, Members: len(rd.sums) + 1,
		Size: src.n, SHA256: hex.EncodeToString(whole.Sum(nil)),
	}, nil
}

// reader is an archive on its way to becoming an image.
type reader struct {
	lim      Limits
	tar      *tarReader
	tx       *store.Tx
	manifest Manifest
	shown    *Manifest // the manifest once it was read
	newer    error     // why this build cannot know the content; then only the sums are checked
	section  section
	name     string // of the current member
	sums     []memberSum
	folded   map[string]string // lower case -> name, below system/
	docs     aside[*pendingDoc]
	records  aside[*pendingRecord]
	recorded uint64       // the next record has at least this sequence
	hash     hash.Hash    // of the current member
	buf      bytes.Buffer // of the current member, if it is not a stream
}

type memberSum struct {
	name string
	sum  [sha256.Size]byte
}

// gzipHeader is how every archive begins: deflate, no name, no time, level 1,
// system unknown (RFC 1952 section 2.3).
var gzipHeader = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255}

// errForeign is the refusal of what never was an archive of this kind.
var errForeign = damaged("this is not a cpctl snapshot")

func (rd *reader) archive(src *source) (*store.Image, error) {
	packed := bufio.NewReaderSize(src, 32<<10)
	switch head, err := packed.Peek(len(gzipHeader)); {
	case err != nil && !bytes.HasPrefix(gzipHeader, head):
		return nil, errForeign
	case err != nil && len(head) == 0 && err == io.EOF:
		return nil, damaged("the file is empty; this is not a cpctl snapshot")
	case err != nil:
		return nil, whole(err)
	case !bytes.Equal(head[:3], gzipHeader[:3]):
		return nil, errForeign
	case !bytes.Equal(head, gzipHeader):
		return nil, damaged("the gzip header is not as cpctl writes it")
	}
	gz, err := gzip.NewReader(packed)
	if err != nil {
		return nil, err
	}
	gz.Multistream(false)
	rd.tar = &tarReader{r: &unpacked{r: gz, src: src, lim: rd.lim}}
	for {
		name, size, err := rd.tar.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := rd.member(name, size); err != nil {
			return nil, err
		}
	}
	if _, err := packed.ReadByte(); err != io.EOF {
		if err == nil {
			err = damaged("bytes follow the end of the archive")
		}
		return nil, err
	}
	if rd.section != sumsMember {
		return nil, damaged("%s is missing", sumsName)
	}
	if rd.newer != nil {
		return nil, rd.newer
	}
	return rd.finish()
}

// member checks the place of one member, takes its content and notes its sum.
func (rd *reader) member(name string, size int64) error {
	first := rd.name == ""
	rd.name = name
	if first && name != manifestName {
		return damaged("the first member is %q, not %s; this is not a cpctl snapshot", name, manifestName)
	}
	if rd.section == sumsMember {
		return damaged("member %q follows %s", name, sumsName)
	}
	if size > rd.lim.Member {
		return damaged("member %q has %d bytes, at most %d are allowed", name, size, rd.lim.Member)
	}
	if len(rd.sums)+1 > rd.lim.Members {
		return damaged("the archive has more than %d members", rd.lim.Members)
	}
	if name == sumsName {
		return rd.checkSums()
	}
	rd.hash.Reset()
	body := io.TeeReader(rd.tar, rd.hash)
	if err := rd.content(name, size, body); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		return err
	}
	sum := memberSum{name: name}
	rd.hash.Sum(sum.sum[:0])
	rd.sums = append(rd.sums, sum)
	return nil
}

// content takes a member that this build knows. Of an archive of a newer one it
// looks at the name only.
func (rd *reader) content(name string, size int64, body io.Reader) error {
	if rd.newer != nil {
		if !localName(name) {
			return notOurs(name)
		}
		return nil
	}
	s, most, err := place(name)
	if err != nil {
		return err
	}
	if last := len(rd.sums) - 1; last >= 0 && (s < rd.section || s == rd.section && name <= rd.sums[last].name) {
		if name == rd.sums[last].name {
			return damaged("member %q is there twice", name)
		}
		return damaged("member %q is out of order or there twice", name)
	}
	if err := rd.missing(s); err != nil {
		return err
	}
	rd.section = s
	if size > most {
		return damaged("member %q has %d bytes, at most %d are allowed", name, size, most)
	}
	err = rd.take(s, name, body)
	if err != nil && rd.tar.err == nil && errors.Is(err, store.ErrNewer) {
		rd.newer = store.Errorf(store.CodeNewer, "%s", oneLine(err.Error())).WithHint("%s", newerHint)
		return nil
	}
	if err != nil && rd.tar.err == nil && !errors.Is(err, store.ErrIntegrity) {
		return damaged("member %q: %v", name, err)
	}
	return err
}

// missing refuses to go to a section past a member that every archive has.
func (rd *reader) missing(to section) error {
	if to > countersMember && rd.section < countersMember {
		return damaged("%s is missing", countersName)
	}
	if to > requestsMember && rd.section < requestsMember {
		return damaged("%s is missing", requestsName)
	}
	return nil
}

const newerHint = "use the release of cpctl that wrote it, or a later one"

// checkSums compares the sums, line by line, with those of the members read.
func (rd *reader) checkSums() error {
	if rd.newer == nil {
		if err := rd.missing(sumsMember); err != nil {
			return err
		}
	}
	rd.section = sumsMember
	var want, got []byte
	for _, m := range rd.sums {
		want = appendSum(want[:0], m.sum[:], m.name)
		got = append(got[:0], want...)
		if _, err := io.ReadFull(rd.tar, got); err != nil {
			if rd.tar.err == nil {
				return damaged("%s has no sum of member %q", sumsName, m.name)
			}
			return err
		}
		if !bytes.Equal(got, want) {
			return damaged("member %q does not match its line in %s", m.name, sumsName)
		}
	}
	switch n, err := io.Copy(io.Discard, rd.tar); {
	case err != nil:
		return err
	case n > 0:
		return damaged("%s has sums of members that are missing", sumsName)
	}
	return nil
}

// explain makes the answer of an error: a refusal as it is, the failure of the
// reader below as it is, everything else damage.
func (rd *reader) explain(err error, src *source) error {
	where := "before the first member"
	if rd.name != "" {
		where = fmt.Sprintf("at member %q", oneLine(rd.name))
	}
	var refusal *store.Error
	var corrupt flate.CorruptInputError
	switch {
	case src.err != nil:
		return fmt.Errorf("read snapshot: %w", src.err)
	case errors.As(err, &refusal):
		return refusal
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return damaged("the archive is truncated %s", where)
	case errors.Is(err, gzip.ErrChecksum):
		return damaged("the archive is damaged: its gzip checksum is wrong")
	case errors.As(err, &corrupt):
		return damaged("the archive is damaged %s: its compressed data is corrupt", where)
	}
	return damaged("the archive is damaged %s: %v", where, err)
}
