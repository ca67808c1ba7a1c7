package applier

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// Mistakes that replicated stores of this kind have made, and the tests that
// keep them from being made here:
//
//	the answer of the FSM was never read                    pkg/node     TestRestoreIsOneChangeAndWritersGoOn, TestConcurrentUpdatesAreAllKept
//	unknown mutation types were ignored                     pkg/mutation TestNewerEntriesAreNamed; pkg/fsm TestAnUnreadableEntryStops; pkg/node
//	the applier read the clock                              test/layers  TestDeterministicCodeLetsNothingIn; pkg/fsm TestTheSameLogGivesTheSameBytes
//	an update deadlocked on its own lock, and after restart here         TestAnUpdateAppliesAndAppliesAgainAfterARestart
//	client secrets and several fields were not stored       here         TestEveryFieldOfADocumentIsStored
//	tenant.delete with an empty slug removed every tenant   here         TestNamesAreCheckedBeforeAnyPathIsMade
//	names were not checked in paths                         here         TestNamesAreCheckedBeforeAnyPathIsMade
//	a file was gone before its rename                       pkg/publish  TestReadersSeeWholeDocumentsThatNeverStepBack
//	a second rotation dropped the first one's key           here         TestASecondRotationKeepsTheKeysOfTheFirst
//	a grace of zero published the old key for ever          here         TestAKeyWithoutGraceIsGoneAtOnce
//	a deleted tenant left its keys for the next one         here         TestATenantOfTheSameNameIsAnother; pkg/publish
//	create overwrote                                        here         TestCreateNeverOverwrites
//	the snapshot walked live files                          pkg/fsm      TestAFrozenStateIsPersistedWhileOthersAreApplied; pkg/snapshot
//	an empty or foreign archive was restored                pkg/node     TestAForeignArchiveIsRefusedWithNothingChanged; pkg/fsm; pkg/snapshot
//	modes came from the archive                             pkg/snapshot TestReadRefusesHeadersThatAreNotOurs; pkg/publish
//	two directories were swapped one after the other        pkg/publish  TestAChangeOfManyFilesIsSeenAtOneMoment
//	nothing tidied up after a crash                         pkg/publish  TestOpenRemovesLeftovers, TestAKillAtEveryStep
//	http://localhost.attacker.example passed for loopback   pkg/store    TestRedirectURIs
//	one certificate of the CA was as good as any other      pkg/pki      TestHandshakeRefused; pkg/node TestStreamLayerDialsTheNodeItMeans
//	AddVoter with a typo ended the quorum                   pkg/node     TestATypoInAnAddressCostsNoQuorum
//
// TestEveryMistakeHasItsTest holds this list to the tests that there are.
var carriers = map[string][]string{
	"pkg/node": {"TestRestoreIsOneChangeAndWritersGoOn", "TestConcurrentUpdatesAreAllKept", "TestAnUnreadableEntryStopsTheNode",
		"TestAForeignArchiveIsRefusedWithNothingChanged", "TestStreamLayerDialsTheNodeItMeans", "TestATypoInAnAddressCostsNoQuorum"},
	"pkg/mutation": {"TestNewerEntriesAreNamed"},
	"pkg/fsm": {"TestAnUnreadableEntryStops", "TestTheSameLogGivesTheSameBytes", "TestAFrozenStateIsPersistedWhileOthersAreApplied",
		"TestADamagedArchiveChangesNothing"},
	"pkg/publish": {"TestReadersSeeWholeDocumentsThatNeverStepBack", "TestATenantThatComesBackHasNothingOfTheFirst", "TestModesDoNotDependOnTheUmask",
		"TestAChangeOfManyFilesIsSeenAtOneMoment", "TestOpenRemovesLeftovers", "TestAKillAtEveryStep"},
	"pkg/snapshot": {"TestWritingGoesOnWhileTheStateChanges", "TestReadRefusesHeadersThatAreNotOurs", "TestReadRefusesMembersThatAreNotOurs"},
	"pkg/store":    {"TestRedirectURIs"},
	"pkg/pki":      {"TestHandshakeRefused"},
	"test/layers":  {"TestDeterministicCodeLetsNothingIn"},
	"pkg/applier": {"TestAnUpdateAppliesAndAppliesAgainAfterARestart", "TestEveryFieldOfADocumentIsStored", "TestNamesAreCheckedBeforeAnyPathIsMade",
		"TestASecondRotationKeepsTheKeysOfTheFirst", "TestAKeyWithoutGraceIsGoneAtOnce", "TestATenantOfTheSameNameIsAnother", "TestCreateNeverOverwrites"},
}

func TestEveryMistakeHasItsTest(t *testing.T) {
	for dir, names := range carriers {
		there := map[string]bool{}
		files, err := filepath.Glob(filepath.Join("../..", dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, src, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
					there[fn.Name.Name] = true
				}
			}
		}
		for _, name := range names {
			if !there[name] {
				t.Errorf("%s has no %s", dir, name)
			}
		}
	}
}

// TestNamesAreCheckedBeforeAnyPathIsMade: no kind takes a name that could reach
// another file than its own, and an empty one never stands for all.
func TestNamesAreCheckedBeforeAnyPathIsMade(t *testing.T) {
	slugs := []string{"", ".", "..", "/", "../globex", "acme/..", "acme/../globex", "globex/clients", "Acme", "ACME", "acme ", "-acme", "acme-", "a_b", "a.b",
		"acme\x00", "acme\n", "%61cme", "ácme", strings.Repeat("a", 64), "*"}
	names := []string{"", "web\x00", "web\n", "web ", `we"b`, `we\b`, "ünicode", strings.Repeat("a", 81)}
	paths := []string{".", "..", "../web", "../../globex/clients/web", "a/b", "/etc/passwd"} // may be names of scopes
	w := populated(t)
	payload := w.createScope("acme", "x", `{}`).Payload
	try := func(kind mutation.Kind, slug, name string) {
		for _, flags := range []mutation.Flags{0, mutation.Replace, mutation.Detach} {
			before, c := w.image(), w.command(mutation.Mutation{Kind: kind, Tenant: slug, Name: name, Flags: flags, Payload: payload})
			wantRefused(t, w, before, c, w.apply(c), rule{code: store.CodeInvalid})
			if t.Failed() {
				t.Fatalf("%s of %q, %q with flags %d", kind, slug, name, flags)
			}
		}
	}
	for _, kind := range []mutation.Kind{mutation.TenantCreate, mutation.TenantUpdate, mutation.TenantDelete, mutation.KeyRotate,
		mutation.ClientCreate, mutation.ClientUpdate, mutation.ClientDelete, mutation.ScopeCreate, mutation.ScopeDelete} {
		for _, slug := range slugs {
			try(kind, slug, "web")
		}
		if kind != mutation.KeyRotate {
			try(kind, store.GlobalOwner, "web")
		}
	}
	for _, kind := range []mutation.Kind{mutation.ClientCreate, mutation.ClientUpdate, mutation.ClientDelete, mutation.ScopeCreate, mutation.ScopeDelete} {
		for _, name := range names {
			try(kind, "acme", name)
		}
	}
	for _, kind := range []mutation.Kind{mutation.ClientCreate, mutation.ClientUpdate, mutation.ClientDelete} {
		for _, name := range paths {
			try(kind, "acme", name)
		}
	}
	for _, name := range paths {
		before := w.image()
		w.must(w.createScope("acme", name, `{}`))
		changed := differing(before, w.image())
		if len(changed) != 1 || filepath.Dir(filepath.Clean(changed[0])) != "tenants/acme/scopes" || strings.HasPrefix(filepath.Base(changed[0]), ".") {
			t.Errorf("the scope %q is stored at %v", name, changed)
		}
	}
}

// TestCreateNeverOverwrites: what exists is an answer, whatever the flags and
// the revision say.
func TestCreateNeverOverwrites(t *testing.T) {
	for _, make := range []func(w *world) mutation.Mutation{
		func(w *world) mutation.Mutation { return w.createTenant("acme", `{}`)[0] },
		func(w *world) mutation.Mutation { return w.createClient("acme", "web", machine) },
		func(w *world) mutation.Mutation { return w.createScope("acme", "orders:read", `{}`) },
	} {
		for _, flags := range []mutation.Flags{0, mutation.Expected, mutation.Detach} {
			w := populated(t)
			m := make(w)
			m = with(m, flags, w.base(m.Ref().Path()))
			before, c := w.image(), w.command(m)
			t.Run(fmt.Sprintf("%s_%d", m.Kind, flags), func(t *testing.T) {
				wantRefused(t, w, before, c, w.apply(c), rule{code: store.CodeExists, says: "already exists"})
			})
		}
	}
}

// TestAnUpdateAppliesAndAppliesAgainAfterARestart: an update, a rotation and a
// detaching deletion come back, and the same entries lead to the same state from
// every earlier one.
func TestAnUpdateAppliesAndAppliesAgainAfterARestart(t *testing.T) {
	w := populated(t)
	var log []*mutation.Command
	before := w.image()
	index := w.index
	for _, make := range []func() mutation.Mutation{
		func() mutation.Mutation { return w.updateTenant("acme", `{"display_name":"changed"}`) },
		func() mutation.Mutation { return w.updateClient("acme", "web", `{"description":"changed"}`) },
		func() mutation.Mutation { return w.replaceScope("acme", "orders:read", `{"description":"changed"}`) },
		func() mutation.Mutation { return w.rotate("acme", turned(w)...) },
		func() mutation.Mutation {
			return w.delete(mutation.ScopeDelete, "acme", "orders:read", mutation.Detach)
		},
	} {
		c := w.command(make())
		log = append(log, c)
		if res := w.apply(c); res.Refusal != nil {
			t.Fatalf("%s: %v", c.Op, res.Refusal)
		}
		again := &world{t: t, tx: before.Overlay(), index: index}
		for _, c := range log {
			again.restart()
			if res := again.apply(c); res.Refusal != nil || res.Replayed != nil {
				t.Errorf("%s again: %+v", c.Op, res)
			}
		}
		if got, want := again.tx.StateDigest(), w.tx.StateDigest(); got != want {
			t.Errorf("after %s, replayed, the state is %s, want %s", c.Op, got, want)
		}
	}
}

// TestEveryFieldOfADocumentIsStored fills every field of every kind, so that a
// field that is added and forgotten somewhere is found.
func TestEveryFieldOfADocumentIsStored(t *testing.T) {
	w := populated(t)
	text := `"labels":{"env":"prod"},"annotations":{"note":"x"},"managed_by":"terraform"`
	page := `"client_uri":"https://a.example","logo_uri":"https://a.example/l","tos_uri":"https://a.example/t","policy_uri":"https://a.example/p"`
	m := w.createTenant("full", `{"display_name":"Full","issuer":"https://id.example/full","default_language":"es","contacts":["ops@full.example"],
		"key_policy":{"auto_rotate":true},"settings":{"theme":"dark"},`+text+`}`)
	w.must(m...)
	w.must(w.createScope("full", "orders", `{"display_name":"Orders","description":"All","claims":["tier"],"depends_on":["openid"],"default":true,"consent":"implicit",`+text+`}`))
	client := w.createClient("full", "web", `{"client_name":"Web","description":"Shop","first_party":true,`+page+`,"contacts":["dev@full.example"],"application_type":"native",
		"redirect_uris":["https://a.example/cb"],"post_logout_redirect_uris":["https://a.example/bye"],"allowed_cors_origins":["https://a.example"],
		"grant_types":["authorization_code","refresh_token"],"scopes":["openid","orders"],"audience":["api"],"jwks_uri":"https://a.example/jwks",
		"access_token_ttl":"5m","id_token_ttl":"5m","refresh_token_ttl":"24h","identity_providers":["google"],"settings":{"color":"red"},`+text+`}`)
	v, err := store.Stored[store.Client](&store.Doc{Bytes: client.Payload})
	w.fatal(err)
	hash := "sha256$" + strings.Repeat("A", 22) + "$" + strings.Repeat("A", 43)
	v.Secrets = []store.Secret{{ID: "s2", State: "active", Hint: "...9fQ2", Hash: hash, CreatedAt: begin, ExpiresAt: begin + hour}}
	client.Payload = store.Encode(v)
	w.must(client)
	retiring := signingKey(81, store.KeyRetiring)
	w.must(w.rotate("full", signingKey(80, store.KeyActive), retiring, signingKey(82, store.KeyRevoked)))

	for path, c := range map[string]struct {
		payload []byte
		doc     any
		unset   []string // fields that cannot be set beside the others
	}{
		tenantAt("full"):          {m[0].Payload, new(store.Tenant), nil},
		scopeAt("full", "orders"): {nil, new(store.Scope), []string{"System"}},
		clientAt("full", "web"):   {client.Payload, new(store.Client), []string{"JWKS"}},
		store.KeysetPath("full"):  {nil, new(store.Keyset), nil},
	} {
		d := w.tx.Get(path)
		if c.payload != nil {
			want, err := store.Stamp(c.payload, d.CreateRevision, d.Revision)
			if w.fatal(err); string(d.Bytes) != string(want) {
				t.Errorf("%s is stored as\n%s\nwant\n%s", path, d.Bytes, want)
			}
		}
		w.fatal(json.Unmarshal(d.Bytes, c.doc))
		for _, name := range empty(reflect.ValueOf(c.doc).Elem(), "", c.unset) {
			t.Errorf("%s has nothing in %s: it was not stored, or is new and not in this test", path, name)
		}
		if _, err := store.DecodeDoc(path, d.Bytes); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	restored := w.image()
	w.restart()
	if paths := differing(restored, w.image()); len(paths) > 0 {
		t.Errorf("after a restart %v differ", paths)
	}
}

// empty names the fields below v that hold nothing. A list counts as filled when
// each field is filled in one of its items.
func empty(v reflect.Value, at string, except []string) (names []string) {
	for i := range v.NumField() {
		f, field := v.Field(i), v.Type().Field(i)
		name := at + field.Name
		switch {
		case reflect.ValueOf(except).Len() > 0 && strings.Contains(" "+strings.Join(except, " ")+" ", " "+name+" "):
		case f.IsZero():
			names = append(names, name)
		case f.Kind() == reflect.Struct:
			names = append(names, empty(f, name+".", except)...)
		case f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct:
			seen := map[string]int{}
			for j := range f.Len() {
				for _, n := range empty(f.Index(j), name+"[].", except) {
					seen[n]++
				}
			}
			for n, times := range seen {
				if times == f.Len() {
					names = append(names, n)
				}
			}
		}
	}
	return names
}
