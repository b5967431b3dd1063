package app

import (
	"net/url"
	"strings"
	"testing"
)

// FuzzStoreName holds that no location with a password is ever called by it: neither in the name
// of the store, nor in a text that quotes it.
func FuzzStoreName(f *testing.F) {
	const password = "hunter2secret"
	for _, s := range [][3]string{
		{"postgres://me:", "@db/history", ""}, {"postgresql://me:", "@a,b:5433/x?sslmode=require", ""}, {"postgres:///x?host=/run&password=", "", ""},
		{"host=db password=", " user=x", ""}, {"host=db password='", "'", ""}, {"POSTGRES:me:", "@db", ""}, {"mysql://me:", "@db", ""}, {"postgres://me:%zz", "@db", "open "},
	} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, before, after, around string) {
		location := before + password + after
		u, err := url.Parse(location)
		secret := err == nil && isPostgres(location) && u.User != nil
		if secret {
			given, _ := u.User.Password()
			secret = given == password
		}
		if !secret {
			_ = StoreName(location) // it never panics
			_ = HideURLs(around + location)
			return
		}
		if got := StoreName(location); strings.Contains(got, password) {
			t.Errorf("StoreName(%q) = %q", location, got)
		}
		if strings.ContainsAny(location, " \t\n\v\f\r\"'`)") || around != "" && !strings.HasSuffix(around, " ") {
			return // where a text is quoted, what is a URL in it is a guess
		}
		if got := HideURLs(around + location); strings.Contains(got, password) {
			t.Errorf("HideURLs(%q) = %q", around+location, got)
		}
	})
}
