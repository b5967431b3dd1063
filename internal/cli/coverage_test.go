package cli

import (
	"context"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/whyrestart/whyrestart/internal/app"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/storetest"
)

// makeGapped makes a store of a cluster that is watched until now, and of what was not seen.
func makeGapped(ts *testscript.TestScript, path string) {
	ctx := context.Background()
	db, err := app.OpenStore(ctx, app.StoreOptions{Location: path})
	ts.Check(err)
	now := time.Now().UTC().Truncate(time.Second)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	missing := storetest.Sample(1)
	missing.Cluster, missing.Namespace, missing.Pod = "", "shop", "checkout-1"
	missing.Workload = &record.Workload{Kind: "Deployment", Name: "checkout"}
	missing.MissedBefore, missing.MissedAfter, missing.MissedUntil = 12, ago(time.Hour+2*time.Minute), ago(time.Hour-2*time.Minute)
	missing.FinishedAt, missing.ObservedAt = ago(time.Hour-3*time.Minute), ago(time.Hour-3*time.Minute)
	before := missing.Clone()
	before.ID, before.PodUID, before.BeforeWatch, before.MissedBefore = storetest.Sample(2).ID, "other", true, 40
	ts.Check(db.Append(ctx, store.Batch{
		Records: []record.Record{missing, before},
		Scopes:  map[string]store.Scope{"|": {Since: ago(72 * time.Hour), Seen: now}},
		Gaps: []record.Gap{
			{Kind: record.GapWatch, From: ago(time.Hour + 2*time.Minute), To: ago(time.Hour), Why: "whyrestart was not running"},
			{Kind: record.GapWatch, From: ago(30 * time.Hour), To: ago(29 * time.Hour), Why: "long ago"},
			{Kind: record.GapPermission, From: ago(2 * time.Hour), Scope: "pods/log in shop", Why: "not allowed to get", Count: 41},
			{Kind: record.GapPermission, From: ago(3 * time.Hour), To: ago(2 * time.Hour), Scope: "nodes", Why: "not allowed to get", Count: 1},
			{Kind: record.GapEvents, From: ago(4 * time.Hour), To: ago(4*time.Hour - time.Minute), Scope: "", Why: "cannot reach the cluster \x1b[31m"},
			{Kind: record.GapStore, From: ago(5 * time.Hour), To: ago(5*time.Hour - 3*time.Minute), Why: "disk full", Count: 214},
			{Kind: record.GapEvidence, From: ago(6 * time.Hour), To: ago(6*time.Hour - time.Minute), Why: "too many containers stopped at the same time", Count: 9},
			{Kind: record.GapNotification, From: ago(7 * time.Hour), To: ago(7*time.Hour - time.Minute), Scope: "chat", Why: "the receiver refuses it", Count: 3},
		},
	}))
	ts.Check(db.Acknowledge(ctx, store.Outbox{Consumer: "stdout"}, 0))
	ts.Check(db.Close())
}
