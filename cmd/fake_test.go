package cmd

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

// fake is a cluster of documents that never change, and answers that a test sets.
type fake struct {
	mu       sync.Mutex
	requests []mutation.Request
	gets     []rpc.GetArgs
	lists    []rpc.ListArgs
	dialled  [][]string
	as       *pki.Credentials // of the last dial
	hint     string           // how to log in anew, as it was told then
	renew    func(csr []byte) (*rpc.Enrolment, error)
	renewals int
	closed   int

	docs   map[string]string // by the string of their Ref
	next   string            // Continue of lists
	ageMS  int64
	write  func(context.Context, *mutation.Request) (*mutation.Answer, error)
	fail   error // of every read
	status *rpc.ClusterStatus
	health *rpc.HealthReply

	archive      []byte
	manifest     snapshot.Manifest
	restored     []byte
	restores     *rpc.RestoreReply // nil: one that adds and removes something
	restore      rpc.RestoreArgs
	removed      string
	removing     rpc.RemoveArgs
	canLose      int
	autoremoving rpc.AutoremoveArgs
	exports      []rpc.ExportArgs
	check        *rpc.CheckReport
	checked      []rpc.CheckArgs
	request      *rpc.RequestState
	asked        []rpc.RequestArgs
	audit        func(rpc.AuditArgs) (*rpc.AuditReply, error)
	chains       map[string]*rpc.AuditCheckReply // by node id
	tokens       []rpc.TokenArgs
	token        *rpc.TokenReply
	listed       []rpc.Token
	revoked      []string
	rekey        []rpc.RekeyReply // one answer after the other; the last one ends it

	transfers   []rpc.TransferArgs
	transferred *rpc.Transferred

	certs       []rpc.CertInfo
	certRevoked string
	rotated     []rpc.RotateArgs
	authorities []rpc.Authorities // what a roll-over comes to, one by one
}

func (f *fake) Check(_ context.Context, args rpc.CheckArgs) (*rpc.CheckReport, error) {
	f.checked = append(f.checked, args)
	return f.check, f.fail
}

func (f *fake) Request(_ context.Context, args rpc.RequestArgs) (*rpc.RequestState, error) {
	f.asked = append(f.asked, args)
	return f.request, f.fail
}

func (f *fake) CreateToken(_ context.Context, args rpc.TokenArgs) (*rpc.TokenReply, error) {
	f.tokens = append(f.tokens, args)
	return f.token, f.fail
}

func (f *fake) ListTokens(context.Context, rpc.ReadOptions) (*rpc.TokenList, error) {
	return &rpc.TokenList{ReadInfo: rpc.ReadInfo{Index: 12}, Items: f.listed}, f.fail
}

func (f *fake) RevokeToken(_ context.Context, id string) (*rpc.TokenReply, error) {
	f.revoked = append(f.revoked, id)
	return f.token, f.fail
}

func (f *fake) Renew(_ context.Context, csr []byte) (*rpc.Enrolment, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.renewals++
	return f.renew(csr)
}

func (f *fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed++
	return nil
}

func (f *fake) Write(ctx context.Context, req *mutation.Request) (*mutation.Answer, error) {
	f.mu.Lock()
	f.requests = append(f.requests, *req)
	f.mu.Unlock()
	if f.write != nil {
		return f.write(ctx, req)
	}
	name := req.Op[:strings.Index(string(req.Op), ".")]
	ref := store.Ref{Kind: string(name), Tenant: req.Tenant, Name: req.Name}
	if name == "key" {
		ref = store.Ref{Kind: "keyset", Tenant: req.Tenant, Name: req.Tenant}
	}
	ans := &mutation.Answer{Outcome: mutation.OutcomeOf(req.Op), Name: objectName(ref), Index: 12, Revision: 7, Published: true, DryRun: req.DryRun}
	if ans.Outcome == mutation.Deleted {
		ans.Deleted = []string{ans.Name}
	} else {
		ans.Document = json.RawMessage(f.docs[ans.Name])
	}
	return ans, nil
}

func (f *fake) Get(ctx context.Context, a rpc.GetArgs) (*rpc.GetReply, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gets = append(f.gets, a)
	if f.fail != nil {
		return nil, f.fail
	}
	ref := store.Ref{Kind: a.Kind, Tenant: a.Tenant, Name: a.Name}
	if a.Name == "" {
		ref.Name = a.Tenant
	}
	if _, ok := f.docs["tenant/"+a.Tenant]; !ok && a.Tenant != store.GlobalOwner {
		return nil, store.NotFound(store.Ref{Kind: "tenant", Tenant: a.Tenant, Name: a.Tenant})
	}
	doc, ok := f.docs[objectName(ref)]
	if !ok {
		return nil, store.NotFound(ref)
	}
	return &rpc.GetReply{ReadInfo: rpc.ReadInfo{Index: 12, Node: "n1", AgeMS: f.ageMS}, Document: json.RawMessage(doc)}, nil
}

func (f *fake) List(ctx context.Context, a rpc.ListArgs) (*rpc.ListReply, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lists = append(f.lists, a)
	if f.fail != nil {
		return nil, f.fail
	}
	r := &rpc.ListReply{ReadInfo: rpc.ReadInfo{Index: 12, Node: "n1", AgeMS: f.ageMS}, Continue: f.next}
	var names []string
	for name := range f.docs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if ref, err := store.ParseRef(name); err == nil && ref.Kind == a.Kind && (a.Kind == "tenant" || ref.Tenant == a.Tenant) {
			r.Items = append(r.Items, json.RawMessage(f.docs[name]))
		}
	}
	return r, nil
}

func (f *fake) Status(context.Context) (*rpc.ClusterStatus, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status, f.fail
}

func (f *fake) Health(context.Context, bool) (*rpc.HealthReply, error) { return f.health, f.fail }

func (f *fake) Transfer(_ context.Context, a rpc.TransferArgs) (*rpc.Transferred, error) {
	f.transfers = append(f.transfers, a)
	return f.transferred, f.fail
}

func (f *fake) Remove(_ context.Context, a rpc.RemoveArgs) (*rpc.RemoveReply, error) {
	f.removed, f.removing = a.Name, a
	return &rpc.RemoveReply{Removed: rpc.MemberName{Name: a.Name}, Votes: f.votes(2)}, f.fail
}

// votes are what is left, nil if canLose says that nobody knows.
func (f *fake) votes(voters int) *rpc.Votes {
	if f.canLose < 0 {
		return nil
	}
	return &rpc.Votes{Voters: voters, CanLose: f.canLose}
}

func (f *fake) Roster(context.Context) (*rpc.Roster, error) {
	return &rpc.Roster{Index: 7, Decided: 3, Members: []rpc.Member{{Name: "n1", ID: "id-1"}, {Name: "n3", ID: "id-3"}}}, f.fail
}

func (f *fake) Promote(_ context.Context, a rpc.MemberRef) (*rpc.PromoteReply, error) {
	return &rpc.PromoteReply{Promoted: rpc.MemberName{Name: a.Name}, Votes: rpc.Votes{Voters: 4, CanLose: 1}, Changed: a.Name == "n4"}, f.fail
}

func (f *fake) Leave(context.Context, rpc.LeaveArgs) (*rpc.RemoveReply, error) {
	return &rpc.RemoveReply{Removed: rpc.MemberName{Name: "n1"}, Votes: f.votes(3)}, f.fail
}

func (f *fake) SetAutoremove(_ context.Context, a rpc.AutoremoveArgs) (*rpc.AutoremoveReply, error) {
	f.autoremoving = a
	r := &rpc.AutoremoveReply{Index: 12}
	if a.Set != nil {
		r.Autoremove = *a.Set
	}
	return r, f.fail
}

func (f *fake) Certs(context.Context, rpc.ReadOptions) (*rpc.CertList, error) {
	return &rpc.CertList{ReadInfo: rpc.ReadInfo{Index: 12, Node: "n1"}, Items: f.certs}, f.fail
}

func (f *fake) Revoke(_ context.Context, a rpc.RevokeArgs) (*rpc.RevokeReply, error) {
	f.certRevoked = a.Serial
	return &rpc.RevokeReply{Certificate: rpc.CertInfo{Serial: a.Serial, Role: "operator", Name: "ana", Revoked: true, State: rpc.CertRevoked}, Index: 12}, f.fail
}

func (f *fake) Rotate(_ context.Context, a rpc.RotateArgs) (*rpc.Authorities, error) {
	f.rotated = append(f.rotated, a)
	if len(f.authorities) > 1 {
		defer func() { f.authorities = f.authorities[1:] }()
	}
	if f.fail != nil {
		return nil, f.fail
	}
	return &f.authorities[0], nil
}

func (f *fake) Export(_ context.Context, a rpc.ExportArgs) (*rpc.ExportReply, error) {
	f.exports = append(f.exports, a)
	if f.fail != nil {
		return nil, f.fail
	}
	return &rpc.ExportReply{Tenant: a.Tenant, KID: cmp.Or(a.KID, "k1"), Index: 12, Key: []byte(privateKey)}, nil
}

// privateKey stands for one.
const privateKey = "{\"d\":\"PRIVATE\"}\n"

func (f *fake) Rekey(_ context.Context, tell func(*rpc.RekeyReply)) (*rpc.RekeyReply, error) {
	for i := range f.rekey {
		if f.rekey[i].Done {
			return &f.rekey[i], nil
		}
		tell(&f.rekey[i])
	}
	return nil, store.Errorf(store.CodeUnavailable, "not rolled over yet")
}

func (f *fake) Snapshot(_ context.Context, w io.Writer) (*snapshot.Manifest, error) {
	if _, err := w.Write(f.archive); err != nil {
		return nil, err
	}
	return &f.manifest, f.fail
}

func (f *fake) Restore(_ context.Context, r io.Reader, a rpc.RestoreArgs) (*rpc.RestoreReply, error) {
	f.restore = a
	b, err := io.ReadAll(r)
	f.restored = b
	if f.fail != nil {
		err = f.fail
	}
	if f.restores != nil {
		return f.restores, err
	}
	return &rpc.RestoreReply{FormatVersion: "1.0", Kind: "restore", ChangedTotal: 2,
		Difference: &rpc.Difference{Added: 1, Removed: 1, Before: store.Counts{Tenants: 1, Clients: 3}, After: store.Counts{Tenants: 12, Clients: 1904}},
		Changes:    []rpc.Change{{Op: "+", Name: "client/acme/web"}, {Op: "-", Name: "scope/acme/admin"}},
		Revision:   4711, Published: true, DryRun: a.DryRun}, err
}

// world is where a command line is tried out.
type world struct {
	*fake
	env      map[string]string
	stdin    string
	terminal bool // all three streams are
	enrol    func(context.Context, []string, pki.Token, rpc.EnrolArgs) (*rpc.Enrolment, error)
	out      io.Writer
	ctx      context.Context
}

// newWorld has a tenant acme with a client, a scope and keys.
func newWorld() *world {
	return &world{ctx: context.Background(), env: map[string]string{}, fake: &fake{docs: map[string]string{
		"tenant/acme":            `{"format_version":"1.0","kind":"tenant","slug":"acme","display_name":"Acme","state":"active","issuer":"","token_policy":{"access_token_ttl":"15m"},"contacts":["a@acme.example","b@acme.example"],"labels":{"env":"prod"},"revision":7,"created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-02T00:00:00Z","updated_by":"unix/0"}`,
		"tenant/globex":          `{"format_version":"1.0","kind":"tenant","slug":"globex","display_name":"","state":"suspended","issuer":"https://id.globex.example","labels":{},"revision":9,"created_at":"2026-02-10T21:00:00Z","updated_at":"2026-02-10T21:00:00Z","updated_by":"unix/0"}`,
		"client/acme/batch":      `{"format_version":"1.0","kind":"client","tenant":"acme","client_id":"batch","token_endpoint_auth_method":"client_secret_basic","redirect_uris":[],"scopes":["a","b","c"],"secrets":[{"id":"s1","state":"active","hint":"...k1Aa","created_at":"2026-02-10T00:00:00Z","expires_at":null}],"revision":3,"created_at":"2026-01-01T00:00:00Z"}`,
		"client/acme/web":        `{"format_version":"1.0","kind":"client","tenant":"acme","client_id":"web","token_endpoint_auth_method":"none","redirect_uris":["https://a/1","https://a/2"],"scopes":["a","b","c","d","e"],"secrets":[],"revision":4,"created_at":"2026-02-10T21:00:00Z"}`,
		"scope/acme/orders:read": `{"format_version":"1.0","kind":"scope","tenant":"acme","name":"orders:read","claims":["tier"],"system":false,"default":true,"consent":"required","created_at":"2026-02-10T21:00:00Z"}`,
		"keyset/acme":            `{"format_version":"1.0","kind":"keyset","tenant":"acme","keys":[{"kid":"k1","alg":"EdDSA","state":"active","public_jwk":{"kty":"OKP"},"private_key":{"ciphertext":"SEALED"},"created_at":"2026-02-10T21:00:00Z"},{"kid":"k0","alg":"EdDSA","state":"retiring","public_jwk":{"kty":"OKP"},"created_at":"2026-01-01T00:00:00Z","verify_until":"2026-02-12T00:00:00Z"}]}`,
		"jwks/acme":              `{"keys":[{"kty":"OKP","kid":"k1"}]}`,
	}}}
}

// noon is the now of all tests.
var noon = time.Date(2026, time.February, 11, 0, 0, 0, 0, time.UTC)

type result struct {
	code     int
	out, err string
}

func (w *world) run(args ...string) result { return w.with(nil, args...) }

// with is run in a world that change has changed.
func (w *world) with(change func(*Env), args ...string) result {
	var out, err bytes.Buffer
	env := &Env{
		In: strings.NewReader(w.stdin), Out: &out, Err: &err,
		InTerminal: w.terminal, OutTerminal: w.terminal, ErrTerminal: w.terminal,
		Getenv: func(name string) string { return w.env[name] },
		Now:    func() time.Time { return noon },
		Enrol:  w.enrol,
		Dial: func(o rpc.Options) Cluster {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.dialled = append(w.dialled, o.Servers)
			w.as, w.hint = o.Credentials, o.Login
			return w.fake
		},
	}
	if w.out != nil {
		env.Out = w.out
	}
	if change != nil {
		change(env)
	}
	code := run(w.ctx, env, args)
	return result{code, out.String(), err.String()}
}

// want compares all three at once: what a script and a person see.
func (r result) want(t *testing.T, code int, out, err string) {
	t.Helper()
	if r.code != code || r.out != out || r.err != err {
		t.Errorf("got exit %d\n--- stdout\n%s--- stderr\n%s--- want exit %d\n--- stdout\n%s--- stderr\n%s", r.code, r.out, r.err, code, out, err)
	}
}

func (f *fake) Audit(_ context.Context, a rpc.AuditArgs) (*rpc.AuditReply, error) {
	if f.audit == nil {
		return &rpc.AuditReply{}, f.fail
	}
	return f.audit(a)
}

func (f *fake) AuditCheck(_ context.Context, a rpc.AuditCheckArgs) (*rpc.AuditCheckReply, error) {
	return f.chains[a.Node], f.fail
}
