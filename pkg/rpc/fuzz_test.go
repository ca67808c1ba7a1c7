package rpc

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"net/rpc"
	"runtime"
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
)

// spentOn is how many bytes f allocates in all; a fuzzer's worker runs nothing
// beside it.
func spentOn(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// framed is a frame as writeFrame makes it.
func framed(seq uint64, method string, body string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(9+len(method)+len(body)))
	b = append(binary.BigEndian.AppendUint64(b, seq), byte(len(method)))
	return append(append(b, method...), body...)
}

// FuzzFrame reads calls as a server does: in memory that follows what has
// arrived and not what a length claims, and a frame that was taken is written as
// it was, but for the white space of its JSON.
func FuzzFrame(f *testing.F) {
	f.Add(framed(1, "", "{}"))
	f.Add([]byte{0x7f, 0xff, 0xff, 0xff})
	f.Add([]byte{0, 0x0f, 0xff, 0xff, 1, 2, 3})
	f.Add([]byte{0, 0x0f, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, '{', '}'}) // a whole header, and a body that does not come
	f.Add(framed(7, "Cluster.Write", `{"timeout_ms":5000,"args":{"id":"r1","op":"client.create","tenant":"acme","patch":{"a":[1,{}]}}}`))
	f.Add(append(framed(1, "Cluster.Get", `null`), framed(2, "Cluster.Status", `{"args":{}}`)...))
	f.Add(framed(3, "Peer.Write", `{"args":{"set":[{},{},{},{},{},{},{},{}],"seed":"AAAA"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		spent := spentOn(func() {
			server, client := net.Pipe()
			go func() { client.Write(b); client.Close() }()
			defer server.Close()
			c := serverCodec{newCodec(server, someCaller())}
			for at := 0; ; {
				var head rpc.Request
				if c.ReadRequestHeader(&head) != nil {
					return
				}
				if len(head.ServiceMethod) > maxMethod || len(c.body) > MaxFrame {
					t.Fatalf("a method of %d bytes, a body of %d", len(head.ServiceMethod), len(c.body))
				}
				again := framed(head.Seq, head.ServiceMethod, string(c.body))
				if at+len(again) > len(b) || !bytes.Equal(again, b[at:at+len(again)]) {
					t.Fatalf("the frame at byte %d of %x was taken and is written as %x", at, b, again)
				}
				at += len(again)
				var call Call[mutation.Request]
				if c.ReadRequestBody(&call) == nil {
					writtenAgain(t, head.Seq, head.ServiceMethod, c.body)
				}
			}
		})
		if most := uint64(512<<10 + 200*len(b)); spent > most {
			t.Fatalf("%d bytes were allocated for %d that arrived, at most %d are allowed", spent, len(b), most)
		}
	})
}

// writtenAgain sends a body through the codec: it comes out as it went in.
func writtenAgain(t *testing.T, seq uint64, method string, body []byte) {
	t.Helper()
	server, client := net.Pipe()
	defer server.Close()
	go func() {
		defer client.Close()
		_ = clientCodec{codec: newCodec(client, nil)}.WriteRequest(&rpc.Request{Seq: seq, ServiceMethod: method}, json.RawMessage(body))
	}()
	got := newCodec(server, nil)
	n, name, err := got.readFrame()
	var want bytes.Buffer
	if json.Compact(&want, body) != nil {
		t.Fatalf("%q was decoded and is no JSON", body)
	}
	if err != nil || n != seq || name != method || !json.Valid(got.body) {
		t.Fatalf("call %d of %q with %q arrived as %d of %q with %q, %v", seq, method, body, n, name, got.body, err)
	}
}

// FuzzStream reads the parts of a stream: a request of bounded size, then an
// archive in chunks, which is the same when it is sent on.
func FuzzStream(f *testing.F) {
	var b bytes.Buffer
	if err := writeJSON(&b, streamRequest{Op: "restore", TimeoutMS: 5, Restore: RestoreArgs{RequestID: "r1"}}); err != nil {
		f.Fatal(err)
	}
	w := newChunkWriter(&b)
	if _, err := w.Write([]byte("archive")); err != nil {
		f.Fatal(err)
	}
	if err := w.finish(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte{0, 0, 0, 2, '{', '}', 0, 0, 0, 1, 'x', 0, 0, 0, 3, 'y'})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0, 1, 0, 0, '{'})
	f.Fuzz(func(t *testing.T, b []byte) {
		var archive []byte
		var err error
		r := bytes.NewReader(b)
		spent := spentOn(func() {
			var req streamRequest
			if err = readJSON(r, maxHead, &req); err == nil {
				archive, err = io.ReadAll(&chunks{r: r})
			}
		})
		if most := uint64(maxHead + chunkSize + 64<<10 + 100*len(b)); spent > most {
			t.Fatalf("%d bytes were allocated for %d that arrived, at most %d are allowed", spent, len(b), most)
		}
		if err != nil {
			return
		}
		var sent bytes.Buffer
		w := newChunkWriter(&sent)
		if _, err := w.Write(archive); err != nil {
			t.Fatal(err)
		}
		if err := w.finish(&sent); err != nil {
			t.Fatal(err)
		}
		if again, err := io.ReadAll(&chunks{r: &sent}); err != nil || !bytes.Equal(again, archive) || sent.Len() > 0 {
			t.Fatalf("%x was received and is passed on as %x, %v", archive, again, err)
		}
	})
}

// FuzzPreamble: a connection to the socket says one of two words, and nothing
// behind them is swallowed.
func FuzzPreamble(f *testing.F) {
	for _, s := range []string{ProtocolRPC + "\n", ProtocolStream + "\nabc", "GET / HTTP/1.1\r\n\r\n", "\n", "", ProtocolRPC} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		server, client := net.Pipe()
		defer server.Close()
		go func() { client.Write(b); client.Close() }()
		p, err := readPreamble(server)
		if err != nil {
			return
		}
		if line := []byte(p + "\n"); p != ProtocolRPC && p != ProtocolStream || !bytes.HasPrefix(b, line) {
			t.Fatalf("%q was taken for %q", b, p)
		}
		if rest, err := io.ReadAll(server); err != nil || !bytes.Equal(rest, b[len(p)+1:]) {
			t.Fatalf("after %q comes %q, %v", b, rest, err)
		}
	})
}
