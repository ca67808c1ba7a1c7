package rpc

import (
	"fmt"
	"strings"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/audit"
	"github.com/cpctl/cpctl/pkg/mutation"
)

// acts are the calls that go on record, each with what its arguments say of it;
// an event without a type is none. A call that a node passes on for somebody is
// on record where that one was authenticated. A method that is neither here nor
// among the reads fails a test.
var acts = map[string]func(args any) audit.Event{
	"Cluster.Write":         ofWrite,
	"Peer.Write":            ofWrite,
	"Cluster.Export":        ofExport,
	"Peer.Export":           ofExport,
	"Cluster.Check":         ofCheck,
	"Cluster.Remove":        ofRemove,
	"Peer.Remove":           ofRemove,
	"Cluster.Promote":       ofPromote,
	"Peer.Promote":          ofPromote,
	"Cluster.Leave":         ofLeave,
	"Cluster.Transfer":      ofTransfer,
	"Peer.Transfer":         ofTransfer,
	"Cluster.SetAutoremove": ofAutoremove,
	"Peer.SetAutoremove":    ofAutoremove,
	"Cluster.Enrol":         ofEnrol,
	"Peer.Enrol":            ofEnrol,
	"Cluster.Admit":         ofAdmit,
	"Peer.Admit":            ofAdmit,
	"Peer.Join":             ofAdmit,
	"Cluster.CreateToken":   ofCreateToken,
	"Peer.CreateToken":      ofCreateToken,
	"Cluster.RevokeToken":   ofRevokeToken,
	"Peer.RevokeToken":      ofRevokeToken,
	"Cluster.Renew":         ofRenew,
	"Peer.Renew":            ofRenew,
	"Cluster.Revoke":        ofRevoke,
	"Peer.Revoke":           ofRevoke,
	"Cluster.Rotate":        ofRotate,
	"Peer.Rotate":           ofRotate,
	"Cluster.Rekey":         ofRekey,
	"Peer.Rekey":            ofRekey,
	"Peer.ClusterKey":       ofClusterKey,
	"newcomer":              ofNewcomer,
	"stream.snapshot":       func(any) audit.Event { return audit.Event{Type: "snapshot.save", Target: "cluster"} },
	"stream.restore":        ofRestore,
	"stream.state":          func(any) audit.Event { return audit.Event{Type: "state.give", Target: "cluster"} },
}

// reads are the calls that change nothing and give away nothing that must be
// known later. Peer.Check repairs what Cluster.Check was asked to.
var reads = []string{
	"Cluster.Audit",
	"Cluster.AuditCheck",
	"Cluster.Certs",
	"Cluster.Get",
	"Cluster.Health",
	"Cluster.List",
	"Cluster.ListTokens",
	"Cluster.Ping",
	"Cluster.Request",
	"Cluster.Roster",
	"Cluster.Status",
	"Peer.Audit",
	"Peer.AuditCheck",
	"Peer.Check",
	"Peer.Digest",
	"Peer.Ping",
	"Peer.Progress",
	"Peer.ReadIndex",
	"Peer.Ready",
}

func ofWrite(args any) audit.Event {
	r := args.(*mutation.Request)
	kind, _, _ := strings.Cut(string(r.Op), ".")
	target := kind + "/" + r.Tenant + "/" + r.Name
	switch {
	case kind == "tenant":
		target = "tenant/" + r.Name
	case kind == "key" && r.KID != "":
		target = "key/" + r.Tenant + "/" + r.KID
	case kind == "key":
		target = "keyset/" + r.Tenant
	}
	return audit.Event{Type: string(r.Op), Target: target, RequestID: r.ID}
}

func ofExport(args any) audit.Event {
	a := args.(*ExportArgs)
	if a.KID == "" {
		return audit.Event{Type: "key.export", Target: "keyset/" + a.Tenant}
	}
	return audit.Event{Type: "key.export", Target: "key/" + a.Tenant + "/" + a.KID}
}

func ofCheck(args any) audit.Event {
	if !args.(*CheckArgs).Repair {
		return audit.Event{}
	}
	return audit.Event{Type: "check.repair", Target: "cluster"}
}

func ofRemove(args any) audit.Event {
	a := args.(*RemoveArgs)
	return audit.Event{Type: "member.remove", Target: "node/" + a.Name, RequestID: a.RequestID}
}

func ofPromote(args any) audit.Event {
	return audit.Event{Type: "member.promote", Target: "node/" + args.(*MemberRef).Name}
}

// ofLeave is a node that is told to leave; which one that is the answer says.
func ofLeave(args any) audit.Event {
	return audit.Event{Type: "member.leave", Target: "cluster", RequestID: args.(*LeaveArgs).RequestID}
}

func ofAutoremove(args any) audit.Event {
	a := args.(*AutoremoveArgs).Set
	switch {
	case a == nil:
		return audit.Event{}
	case a.After == 0:
		return audit.Event{Type: "autoremove.set", Target: "cluster", Message: "off"}
	}
	return audit.Event{Type: "autoremove.set", Target: "cluster", Message: fmt.Sprintf("after %s, while %d voters answer", a.After, a.MinVoters)}
}

func ofEnrol(args any) audit.Event {
	return audit.Event{Type: "member.enrol", Target: "node/" + args.(*EnrolArgs).Name}
}

func ofAdmit(args any) audit.Event {
	a := args.(*AdmitArgs)
	if a.Moved {
		return audit.Event{Type: "member.move", Target: "node/" + a.NodeID, Message: "to " + a.Address}
	}
	return audit.Event{Type: "member.admit", Target: "node/" + a.NodeID}
}

func ofCreateToken(args any) audit.Event {
	a := args.(*TokenArgs)
	return audit.Event{Type: "token.create", Target: "token/" + a.ID, Message: "for " + access.Actor{Role: access.Role(a.Role), Name: a.Name, Tenant: a.Tenant}.String()}
}

func ofRevokeToken(args any) audit.Event {
	return audit.Event{Type: "token.revoke", Target: "token/" + args.(*TokenRef).ID}
}

func ofRenew(any) audit.Event { return audit.Event{Type: "cert.renew"} } // whose is in the answer

func ofRevoke(args any) audit.Event {
	return audit.Event{Type: "cert.revoke", Target: "cert/" + args.(*RevokeArgs).Serial}
}

func ofRotate(args any) audit.Event {
	switch a := args.(*RotateArgs); {
	case a.Look:
		return audit.Event{}
	case a.Retire:
		return audit.Event{Type: "authority.retire", Target: "cluster"}
	}
	return audit.Event{Type: "authority.rotate", Target: "cluster"}
}

func ofRekey(args any) audit.Event {
	return audit.Event{Type: "rekey", Target: "cluster", RequestID: args.(*RekeyArgs).Roll}
}

// ofClusterKey is a node that fetches a cluster key from this one.
func ofClusterKey(args any) audit.Event {
	return audit.Event{Type: "clusterkey.give", Target: "clusterkey/" + args.(*ClusterKeyArgs).KeyID}
}

// ofNewcomer is somebody with a token: a node that enrols or a person who logs in.
func ofNewcomer(args any) audit.Event {
	a := args.(*EnrolArgs)
	switch {
	case a.NodeID == "":
		return audit.Event{Type: "login"} // the token knows the name
	case a.Name == "":
		return audit.Event{Type: "member.enrol"}
	}
	return audit.Event{Type: "member.enrol", Target: "node/" + a.Name}
}

func ofRestore(args any) audit.Event {
	return audit.Event{Type: "restore", Target: "cluster", RequestID: args.(*streamRequest).Restore.RequestID}
}
