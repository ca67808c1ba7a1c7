package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"
)

// FuzzPatch completes tenants and scopes, as FuzzForm does clients: a patch is
// refused with its faults, or makes a document that the decoder takes and that
// does not change when it is given back as it is shown.
func FuzzPatch(f *testing.F) {
	for _, s := range []string{`{}`, `{"slug": "acme"}`, `{"slug": "acme", "token_policy": {"access_token_ttl": "1w", "id_token_ttl": 60}}`, `{"settings": {"a": {"b": null}, "a_token": "x"}}`,
		`{"depends_on": ["openid", "openid"], "claims": null}`, `{"quotas": {"max_clients": -1}}`, `{"labels": {"a": "b", "c": null}, "system": true}`, `{"issuer": "https://A.example"}`, `null`, `[]`, `{"a":1,"a":2}`} {
		f.Add([]byte(s))
	}
	f.Add(mustView(f, Encode(sampleTenant())))
	f.Add(mustView(f, Encode(sampleScope())))
	f.Fuzz(func(t *testing.T, patch []byte) {
		tenant, scope := sampleTenant(), sampleScope()
		for _, current := range []*Tenant{nil, tenant} {
			v, err := CompleteTenant(current, patch)
			if completed(t, patch, err) && CheckSlug(v.Slug) == nil {
				v.UID, v.Meta = sampleUID, sampleMeta()
				again, err := CompleteTenant(v, mustView(t, Encode(v)))
				settles(t, patch, TenantPath(v.Slug), v, again, err)
			}
		}
		for _, current := range []*Scope{nil, scope} {
			v, err := CompleteScope(current, "acme", "orders:read", patch)
			if completed(t, patch, err) {
				v.UID, v.Meta = sampleUID, sampleMeta()
				again, err := CompleteScope(v, "acme", "orders:read", mustView(t, Encode(v)))
				settles(t, patch, ScopePath("acme", "orders:read"), v, again, err)
			}
		}
		if !bytes.Equal(Encode(tenant), Encode(sampleTenant())) || !bytes.Equal(Encode(scope), Encode(sampleScope())) {
			t.Fatalf("%q changed the document it was applied to", patch)
		}
	})
}

// completed checks that a refusal names its faults.
func completed(t *testing.T, patch []byte, err error) bool {
	t.Helper()
	var e *Error
	if err != nil && (!errors.As(err, &e) || e == nil || len(e.Fields) == 0) {
		t.Fatalf("%q: err = %#v", patch, err)
	}
	return err == nil
}

func settles(t *testing.T, patch []byte, path string, v, again any, err error) {
	t.Helper()
	if err != nil || !bytes.Equal(Encode(again), Encode(v)) {
		t.Fatalf("%q completes to what changes when it is given back as shown: %v", patch, err)
	}
	if _, err := DecodeDoc(path, Encode(v)); err != nil {
		t.Fatalf("%q completes to what the decoder refuses: %v", patch, err)
	}
}

// FuzzAmend: elements make a patch or are refused; what was set is in the patch.
func FuzzAmend(f *testing.F) {
	f.Add([]byte(`{}`), "token_policy.access_token_ttl", []byte(`"10m"`), byte(0))
	f.Add([]byte(`{"labels": {"a.b": "c"}}`), "labels.a.b", []byte(`"d"`), byte(0))
	f.Add([]byte(`{"redirect_uris": null}`), "redirect_uris", []byte(`"https://x.example"`), byte(1))
	f.Add([]byte(`{}`), "redirect_uris", []byte(`"https://app.acme.example/cb"`), byte(2))
	f.Add([]byte(`{"a": 1}`), "a.b..c", []byte(`{"x":[1,{}]}`), byte(1))
	f.Fuzz(func(t *testing.T, patch []byte, path string, value []byte, how byte) {
		current := Encode(sampleClient())
		e := []Element{{path, value}}
		var out []byte
		var err error
		switch how % 3 {
		case 0:
			out, err = Amend(current, patch, e, nil, nil)
		case 1:
			out, err = Amend(current, patch, nil, e, nil)
		default:
			out, err = Amend(current, patch, nil, nil, e)
		}
		if !completed(t, patch, err) {
			return
		}
		var fs faults
		n := parse(out, len(out), &fs)
		if len(fs) > 0 {
			t.Fatalf("%q amended by %q=%q is %q, which is no document: %v", patch, path, value, out, fs)
		}
		p := openPatch(nil)
		want, steps := p.element(e[0])
		got := n.find(steps)
		if got == nil || want == nil {
			t.Fatalf("%q amended by %q=%q is %q", patch, path, value, out)
		}
		in := slices.ContainsFunc(got.items, func(x *node) bool { return bytes.Equal(x.raw(), want.raw()) })
		if how%3 == 0 && !bytes.Equal(got.raw(), want.raw()) || how%3 == 1 && !in || how%3 == 2 && in {
			t.Fatalf("%q amended by %q=%q is %q", patch, path, value, out)
		}
	})
}

// FuzzTimes: times and durations that are read are written so that they are
// read as the same.
func FuzzTimes(f *testing.F) {
	for _, s := range []string{"2026-01-05T10:00:00Z", "2026-01-05T10:00:00.123456789+02:00", "15m", "1w2d3h", "90", "1.5h", "", "-1s", "9999999999999999999h", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59.9999999Z", "1ns"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := ParseDuration(s); err == nil {
			if again, err := ParseDuration(d.String()); again != d || err != nil || d < 0 || d > maxDuration {
				t.Errorf("%q is read as %d, written as %q, read again as %d, %v", s, d, d, again, err)
			}
		}
		quoted, _ := json.Marshal(s)
		var at, again Time
		if at.UnmarshalJSON(quoted) != nil {
			return
		}
		b, err := at.MarshalJSON()
		if err != nil || again.UnmarshalJSON(b) != nil || again != at {
			t.Errorf("%q is read as %d (%s), written as %s, read again as %d, %v", s, at, time.UnixMicro(int64(at)), b, again, err)
		}
	})
}

// FuzzRecord: a line of an archive's request table is refused or is written
// again as it was, and says what encoding/json reads in it.
func FuzzRecord(f *testing.F) {
	r := Record{Sequence: 3, ID: "r1", Time: 5, Op: "client.create", Index: 9, Revision: 4, Names: []string{"client/acme/web"}, Total: 20}
	f.Add(r.Line())
	r.Refusal = Errorf(CodeExists, "tenant %q already exists", "acme").WithHint("see")
	f.Add(r.Line())
	f.Add([]byte(`{"sequence":1,"id":"a","digest":"00"}`))
	f.Add(bytes.Replace(r.Line(), []byte(`"op":`), []byte(`"op": `), 1))
	f.Add(bytes.Replace(r.Line(), []byte(`{"sequence":3,`), []byte(`{"unknown":0,"sequence":3,`), 1))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := ReadRecord(line)
		if err != nil {
			return
		}
		if got := r.Line(); !bytes.Equal(got, append(bytes.TrimSuffix(line, []byte("\n")), '\n')) {
			t.Fatalf("%q was taken and is written as %q", line, got)
		}
		var library Record
		if err := json.Unmarshal(line, &library); err != nil {
			t.Fatalf("%q was taken, and encoding/json says: %v", line, err)
		}
		library.sum = library.term(library.wordless().Line())
		if !reflect.DeepEqual(r, &library) {
			t.Fatalf("%q was read as %+v, by encoding/json as %+v", line, *r, library)
		}
	})
}
