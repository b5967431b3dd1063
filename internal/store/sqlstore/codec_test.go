package sqlstore

import (
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/store/storetest"
)

func at(second int) time.Time { return storetest.Epoch().Add(time.Duration(second) * time.Second) }

func FuzzIssueDocument(f *testing.F) {
	c, err := NewCodec()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(c.Close)
	i := issue.Issue{ID: "WR-000001", Count: 3, Last: at(1), Hours: []issue.Hour{{Hour: 5, Count: 1}, {Hour: 7, Count: 2}}}
	i.Pods.Add("a", at(1), 2, 3)
	i.Pods.Add("b\x00\xff", time.Time{}, 1, 3)
	i.Incidents.More = true
	packed, err := c.PackIssue(&i)
	if err != nil {
		f.Fatal(err)
	}
	plain, err := c.Unpack(packed)
	if err != nil {
		f.Fatal(err)
	}
	got, err := c.Issue(packed)
	if diff := gocmp.Diff(i, got); err != nil || diff != "" {
		f.Fatalf("a document, read again (-want +got):\n%s%v", diff, err)
	}
	f.Add(plain)
	f.Add([]byte{})
	f.Add([]byte("\x02{}\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Add([]byte("\x02{}\x01\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, content []byte) {
		packed := c.plain.EncodeAll(content, nil)
		i, err := c.Issue(packed)
		if err != nil {
			if !strings.Contains(err.Error(), "read a stored issue") {
				t.Error(err)
			}
			return
		}
		again, err := c.PackIssue(&i)
		if err != nil {
			t.Fatal(err)
		}
		i.State = ""
		got, err := c.Issue(again)
		if diff := gocmp.Diff(i, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("what was read, read again (-want +got):\n%s%v", diff, err)
		}
		if _, err := c.Incident(packed); err != nil && !strings.Contains(err.Error(), "read a stored incident") {
			t.Error(err)
		}
	})
}
