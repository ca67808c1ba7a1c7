package mutation

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/store"
)

const (
	sampleTime = store.Time(1_767_607_200_123_456) // 2026-01-05T10:00:00.123456Z
	sampleUID  = "0198f0c2-6a1e-7c3b-9a55-0d1f5b7d2f10"
)

// command is a command of one mutation, with every field set.
func command(id string, ms ...Mutation) Command {
	c := Command{ID: id, Op: "client.create", Actor: "operator/ana", Time: sampleTime, Asked: sampleTime - 5, Level: 1, Mutations: ms}
	for i := range c.Digest {
		c.Digest[i] = byte(i*7 + 1)
	}
	return c
}

func payload(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// samples are the entries of which testdata keeps one each, by the name of
// their file: one of every kind, and one for what entries have beside kinds.
func samples(t testing.TB) map[string][]Command {
	t.Helper()
	doc := []byte("{\n  \"create_revision\": 0,\n  \"revision\": 0,\n  \"name\": \"ü <&> \\u2028\"\n}\n")
	sealed := store.Sealed{Enc: "A256GCM", KeyID: "7f3a", Nonce: "AAAAAAAAAAAAAAAA", Ciphertext: strings.Repeat("A", 43)}
	seven := uint64(7)
	one := func(m Mutation) []Command { return []Command{command("0198f0c2-6a1e-7c3b-9a55-0d1f5b7d2f11", m)} }
	sys := func(k Kind, v any) []Command {
		c := command("", Mutation{Kind: k, Payload: payload(t, v)})
		c.Digest, c.Op, c.Actor, c.Asked = store.RequestDigest{}, string(k), "system", 0
		return []Command{c}
	}
	return map[string][]Command{
		"tenant.create": one(Mutation{Kind: TenantCreate, Tenant: "acme", Payload: doc}),
		"tenant.update": one(Mutation{Kind: TenantUpdate, Tenant: "acme", Base: 300, Flags: Expected, Payload: doc}),
		"tenant.delete": one(Mutation{Kind: TenantDelete, Tenant: "acme", Base: 1 << 40}),
		"client.create": one(Mutation{Kind: ClientCreate, Tenant: "acme", Name: "Web~1", Payload: doc}),
		"client.update": one(Mutation{Kind: ClientUpdate, Tenant: "acme", Name: "web", Base: 127, Payload: doc}),
		"client.delete": one(Mutation{Kind: ClientDelete, Tenant: "acme", Name: "web", Base: 128, Flags: Expected}),
		"scope.create":  one(Mutation{Kind: ScopeCreate, Tenant: "acme", Name: "orders:read", Base: 9, Flags: Replace | Expected, Payload: doc}),
		"scope.delete":  one(Mutation{Kind: ScopeDelete, Tenant: "acme", Name: "orders:read", Flags: Detach}),
		"key.rotate":    one(Mutation{Kind: KeyRotate, Tenant: "global", Payload: doc}),
		"sys.epoch":     sys(SysEpoch, Epoch{Node: sampleUID, Term: 3}),
		"sys.found":     sys(SysFound, Found{ClusterID: sampleUID, Generation: 1, CA: "-----BEGIN CERTIFICATE-----\n", CAKey: sealed, KeyCheck: "x", KeyID: "7f3a", Level: 1}),
		"sys.recover": sys(SysRecover, Recover{Generation: 2, Recovery: sampleUID,
			Certificate: Certificate{Serial: "0c", Role: "node", Name: "n1", NodeID: sampleUID, Voter: true, NotAfter: sampleTime + 9, IssuedAt: sampleTime}}),
		"sys.level":        sys(SysLevel, Raise{Level: 1}),
		"sys.cert":         sys(SysCert, Certificate{Serial: "0a", Role: "node", Name: "n1", NodeID: sampleUID, Voter: true, NotAfter: sampleTime + 9, IssuedAt: sampleTime}),
		"sys.revoke":       sys(SysRevoke, Revoke{NodeID: sampleUID, Name: "n1", Why: "removed"}),
		"cert-renewed":     sys(SysCert, Certificate{Serial: "0b", Role: "operator", Name: "ana", NotAfter: sampleTime + 9, IssuedAt: sampleTime, Tenant: "acme", Line: "0a", Authority: strings.Repeat("ab", 32)}),
		"revoke-line":      sys(SysRevoke, Revoke{Name: "ana", Why: "revoked by unix/0", Line: "0a"}),
		"sys.ca":           sys(SysCA, Succession{Step: CAAnnounce, CA: "-----BEGIN CERTIFICATE-----\n", CAKey: &sealed, Cross: "-----BEGIN CERTIFICATE-----\n"}),
		"ca-switch":        sys(SysCA, Succession{Step: CASwitch, CA: "-----BEGIN CERTIFICATE-----\n"}),
		"ca-retire":        sys(SysCA, Succession{Step: CARetire, CA: "-----BEGIN CERTIFICATE-----\n"}),
		"sys.answer":       sys(SysAnswer, Answered{Refusal: store.Errorf(store.CodeExists, "client \"web\" already exists").WithHint("see: %s", "cpctl client get web")}),
		"sys.export":       sys(SysExport, Export{Tenant: "acme", KID: "k1", Node: "n1"}),
		"sys.token":        sys(SysToken, Token{ID: "00112233445566ff", Hash: strings.Repeat("ab", 32), Role: "operator", Name: "ana", Tenant: "acme", ExpiresAt: sampleTime + 9}),
		"sys.token.revoke": sys(SysTokenRevoke, TokenRevoke{ID: "00112233445566ff"}),
		"sys.enrol": sys(SysEnrol, Enrol{Token: "00112233445566ff", PublicKey: strings.Repeat("cd", 32), PEM: "-----BEGIN CERTIFICATE-----\n",
			Certificate: Certificate{Serial: "0b", Role: "node", Name: "n2", NodeID: sampleUID, Voter: true, NotAfter: sampleTime + 9, IssuedAt: sampleTime}}),
		"sys.rekey":        sys(SysRekey, Rekey{Step: RekeyBegin, Roll: sampleUID, Key: KeyName{ID: "7f3a", Check: "x"}, Replaces: "6e29", RequestKey: &sealed}),
		"rekey-switch":     sys(SysRekey, Rekey{Step: RekeySwitch, Roll: sampleUID, Key: KeyName{ID: "7f3a", Check: "x"}}),
		"sys.rewrap":       sys(SysRewrap, Rewrap{Roll: sampleUID, Docs: []RewrapDoc{{Path: store.KeysetPath("acme"), Base: strings.Repeat("ab", 32), Values: []RewrapValue{{From: "BBBBBBBBBBBBBBBB", Now: sealed}}}}}),
		"found-keyed":      sys(SysFound, Found{ClusterID: sampleUID, Generation: 1, CAKey: sealed, KeyCheck: "x", KeyID: "7f3a", Level: 1, RequestKey: &sealed}),
		"sys.leave":        sys(SysLeave, Leave{NodeID: sampleUID, Name: "n1", Why: Removal("unix/0")}),
		"sys.vote":         sys(SysVote, Vote{NodeID: sampleUID}),
		"sys.autoremove":   sys(SysAutoremove, Autoremove{After: store.Duration(10 * 60 * 1e9), MinVoters: 3}),
		"autoremove-off":   sys(SysAutoremove, Autoremove{}),
		"sys.stage.begin":  sys(SysStageBegin, StageBegin{Stage: "st1"}),
		"sys.stage.put":    sys(SysStagePut, StagePut{Stage: "st1", Docs: []StageDoc{{Path: store.TenantPath("acme"), Bytes: []byte{0, 255}}, {Path: store.TenantPath("globex")}}}),
		"sys.stage.commit": sys(SysStageCommit, StageCommit{Stage: "st1", Base: 7, Digest: strings.Repeat("ab", 32), Revision: 40}),
		"sys.stage.abort":  sys(SysStageAbort, StageAbort{Stage: "st1"}),

		"restore-expecting": sys(SysStageCommit, StageCommit{Stage: "st1", Base: 7, Digest: strings.Repeat("ab", 32), Revision: 40, Expect: &seven}),

		"no-command":  {},
		"no-mutation": {command("r1")},
		"no-time":     {{Level: 1}},
		"batch": {
			command("r1", Mutation{Kind: TenantCreate, Tenant: "acme", Payload: doc}, Mutation{Kind: ScopeCreate, Tenant: "acme", Name: "openid", Payload: doc}),
			command("r2", Mutation{Kind: ClientDelete, Tenant: "acme", Name: "web"}),
			command("", Mutation{Kind: SysEpoch, Payload: []byte("{}")}),
		},
	}
}

func encode(commands []Command) []byte {
	parts := make([][]byte, len(commands))
	for i := range commands {
		parts[i] = AppendCommand(nil, &commands[i])
	}
	return EncodeEntry(parts)
}
