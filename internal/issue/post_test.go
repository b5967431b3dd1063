package issue_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
)

func TestSmoke(t *testing.T) {
	m := issue.NewMemory(0)
	for i := range 10 {
		at := t0.Add(time.Duration(i) * time.Minute)
		c := cause("liveness_probe", record.Confirmed)
		if i%2 == 0 {
			c = cause("sigkill_unattributed", record.Unknown)
		}
		if _, err := m.Post(stop(fmt.Sprint(i), at, c)); err != nil {
			t.Fatal(err)
		}
	}
	all := m.Issues(t0.Add(time.Hour))
	if len(all) != 1 || all[0].Cause != "liveness_probe" || all[0].Count != 10 || all[0].Known != 5 {
		t.Errorf("%+v", all)
	}
}
