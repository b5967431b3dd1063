package redact

import (
	"regexp"
)

// builtin returns the rules in the order in which they are applied: what needs the
// most context first, because it keeps the most of the line.
func builtin() []rule {
	return []rule{
		pemLine(),
		urls(),
		// Credentials that programs take on their command line.
		byPattern(`(?i)\b(?:mysql|mysqldump|mysqladmin|mariadb|mariadb-dump)\b.*?\s-p([^\s"'\-][^\s"']*)`, "mysql", "mariadb"),
		byPattern(`(?i)\b(?:sshpass|docker login|podman login|helm registry login)\b.*?\s-p\s*([^\s"'\-][^\s"']*)`, "sshpass", " login "),
		byPattern(`(?i)\bredis-cli\b.*?\s-a\s+([^\s"']+)`, "redis-cli"),
		byPattern(`(?i)\bcurl\b.*?\s(?:-u|--user)\s+["']?[^\s:"']*:([^\s"']+)`, "curl"),
		byPattern(`(?i)\blogin\s+\S+\s+password\s+([^\s"']+)`, "login"),
		// SQL.
		byPattern(`(?i)\bidentified\s+(?:with\s+\S+\s+)?by\s+["']([^"']+)`, "identified "),
		byPattern(`(?i)\bpassword\s+'([^']+)'`, "password '"),
		// user:password@tcp(host:port)/database, as the MySQL driver of Go takes it.
		byPattern(`[^\s"'=:@]+:([^\s"']+)@(?:tcp|unix)\(`, "@tcp(", "@unix("),
		keyValues(),
		byPattern(`(?i)\bbearer\s+([A-Za-z0-9._~+/\-]*[0-9][A-Za-z0-9._~+/\-]*=*)`, "bearer "),
		byPattern(`(?i)secret access key\W{1,5}([A-Za-z0-9/+=]{40})\b`, "secret access key"),
		// Tokens that their form gives away. The prefix stays, and says whose it is.
		byPattern(`\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}(?:\.[A-Za-z0-9_\-]*)*`, "eyj"),
		byPattern(`\b(?:AKIA|ASIA|ABIA|ACCA)([A-Z0-9]{16})\b`, "akia", "asia", "abia", "acca"),
		byPattern(`\bgh[pousr]_([A-Za-z0-9]{20,})`, "ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
		byPattern(`\bgithub_pat_([A-Za-z0-9_]{20,})`, "github_pat_"),
		byPattern(`\bgl(?:pat|ptt|dt|rt|cbt|soat|ft|imt|agent|oas|ffct)-([A-Za-z0-9_\-.]{16,})`, "glpat-", "glptt-", "gldt-", "glrt-", "glcbt-", "glsoat-", "glft-", "glimt-", "glagent-", "gloas-", "glffct-"),
		byPattern(`\bx(?:ox[abceoprs]|app)-([A-Za-z0-9\-.]{10,})`, "xox", "xapp-"),
		byPattern(`\bhooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9/_\-]{16,})`, "hooks.slack.com/"),
		byPattern(`\bdiscord(?:app)?\.com/api/webhooks/\d+/([A-Za-z0-9_\-]{20,})`, "/api/webhooks/"),
		byPattern(`\b(?:bot)?\d{8,10}:(AA[A-Za-z0-9_\-]{30,})`, ":aa"),
		byPattern(`\b(?:sk|rk|pk)_(?:live|test)_([A-Za-z0-9]{10,})`, "_live_", "_test_"),
		byPattern(`\bwhsec_([A-Za-z0-9+/=]{16,})`, "whsec_"),
		byPattern(`\bAIza([A-Za-z0-9_\-]{35})`, "aiza"),
		byPattern(`\bya29\.([A-Za-z0-9_\-]{20,})`, "ya29."),
		byPattern(`\bGOCSPX-([A-Za-z0-9_\-]{20,})`, "gocspx-"),
		byPattern(`\bsk-(?:proj-|ant-|svcacct-)?([A-Za-z0-9_\-]*[0-9][A-Za-z0-9_\-]{31,}|[A-Za-z0-9_\-]{31,}[0-9][A-Za-z0-9_\-]*)`, "sk-"),
		byPattern(`\b(?:npm|hf|dop_v1|dor_v1|shpat|shpss|pul|lin_api|dckr_pat|sntrys|figd|rubygems)_([A-Za-z0-9_\-]{24,})`, "npm_", "hf_", "dop_v1_", "dor_v1_", "shpat_", "shpss_", "pul-", "lin_api_", "dckr_pat_", "sntrys_", "figd_", "rubygems_"),
		byPattern(`\bpypi-([A-Za-z0-9_\-]{32,})`, "pypi-"),
		byPattern(`\bSG\.([A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,})`, "sg."),
		byPattern(`\bhv[sbr]\.([A-Za-z0-9_\-]{20,})`, "hvs.", "hvb.", "hvr."),
		byPattern(`\bAGE-SECRET-KEY-1([A-Z0-9]{50,})`, "age-secret-key-1"),
	}
}

// byPattern returns the rule that replaces the groups of a pattern's matches, or the
// whole matches where it has none, in lines that contain a keyword.
func byPattern(pattern string, keywords ...string) rule {
	re := regexp.MustCompile(pattern)
	return rule{keywords: keywords, replace: func(line string) (string, int) { return replaceMatches(re, line) }}
}
