package main

import (
	"strings"
)

// accepted are tokens at the edge of a rule, on the side where they are good.
func accepted() ([]vector, error) {
	var out []vector
	var failed error
	add := func(v vector, r request, change func(string) string) {
		signed, err := sign(r)
		if err != nil {
			failed = err
			return
		}
		if change != nil {
			signed = change(signed)
		}
		v.token = encode(signed)
		out = append(out, v)
	}
	plain := func(name string, r request) { add(vector{name: name}, r, nil) }

	plain("ok-plain", request{})
	plain("ok-session", request{session: sessionToken(900)})
	plain("ok-session-4096", request{session: sessionToken(4096)})
	plain("ok-session-one-byte", request{session: "A"})
	plain("ok-session-punctuation", request{session: "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"})
	plain("ok-expires-0", request{expires: "0"})
	plain("ok-expires-1", request{expires: "1"})
	plain("ok-expires-900", request{expires: "900"})
	plain("ok-key-16", request{keyID: strings.Repeat("A", 16)})
	plain("ok-key-128", request{keyID: strings.Repeat("A", 128)})
	plain("ok-key-lower-case-and-underscore", request{keyID: "akia_iosfodnn7example"})
	plain("ok-global", request{host: "sts.amazonaws.com", region: "us-east-1"})
	plain("ok-fips", request{host: "sts-fips.us-east-2.amazonaws.com", region: "us-east-2"})
	plain("ok-dual-stack", request{host: "sts.eu-central-1.api.aws"})
	plain("ok-fips-dual-stack", request{host: "sts-fips.eu-central-1.api.aws"})

	add(vector{name: "ok-gov", partition: "aws-us-gov"},
		request{host: "sts.us-gov-west-1.amazonaws.com", region: "us-gov-west-1"}, nil)
	add(vector{name: "ok-gov-fips-dual-stack", partition: "aws-us-gov"},
		request{host: "sts-fips.us-gov-west-1.api.aws", region: "us-gov-west-1"}, nil)
	add(vector{name: "ok-china", partition: "aws-cn"},
		request{host: "sts.cn-north-1.amazonaws.com.cn", region: "cn-north-1"}, nil)
	add(vector{name: "ok-china-dual-stack", partition: "aws-cn"},
		request{host: "sts.cn-north-1.api.amazonwebservices.com.cn", region: "cn-north-1"}, nil)
	add(vector{name: "ok-european-sovereign", partition: "aws-eusc"},
		request{host: "sts.eusc-de-east-1.amazonaws.eu", region: "eusc-de-east-1"}, nil)

	add(vector{name: "ok-age-15-minutes", now: "2026-01-02T03:19:05Z"}, request{}, nil)
	add(vector{name: "ok-future-15-minutes", now: "2026-01-02T02:49:05Z"}, request{}, nil)
	add(vector{name: "ok-age-at-max-age", now: "2026-01-02T03:04:25Z", maxAge: "20s"}, request{}, nil)
	add(vector{name: "ok-future-with-max-age", now: "2026-01-02T03:03:15Z", maxAge: "20s"}, request{}, nil)
	add(vector{name: "ok-expires-long-past", now: "2026-01-02T03:19:05Z"}, request{expires: "0"}, nil)
	add(vector{name: "ok-signed-yesterday", now: "2026-01-03T00:05:00Z"}, request{at: "20260102T235959Z"}, nil)
	add(vector{name: "ok-leap-day", now: "2028-02-29T12:00:00Z"}, request{at: "20280229T120000Z"}, nil)
	add(vector{name: "ok-deny-list-of-another-key", denyKey: "AKIAI44QH8DHBEXAMPLE"}, request{}, nil)
	add(vector{name: "ok-deny-list-of-longer-key", denyKey: keyID + "2"}, request{}, nil)

	add(vector{name: "ok-order-reversed"}, request{session: "abc+/=="}, reversed)
	add(vector{name: "ok-order-signature-first"}, request{}, func(u string) string {
		base, query, _ := strings.Cut(u, "?")
		i := strings.LastIndex(query, "&")
		return base + "?" + query[i+1:] + "&" + query[:i]
	})
	add(vector{name: "ok-credential-with-plain-slashes"}, request{}, func(u string) string {
		return strings.ReplaceAll(u, "%2F", "/")
	})
	add(vector{name: "ok-lower-case-escapes"}, request{session: "abc+/=="}, func(u string) string {
		return strings.NewReplacer("%2F", "%2f", "%3B", "%3b", "%2B", "%2b", "%3D", "%3d").Replace(u)
	})
	if failed != nil {
		return nil, failed
	}
	// A token of 16,384 bytes does not exist: no base64 text is 16,373 long.
	longest, err := ofLength(16383)
	return append(out, vector{name: "ok-length-16383", token: longest}), err
}

// reversed turns the order of the parameters round.
func reversed(u string) string {
	base, query, _ := strings.Cut(u, "?")
	pairs := strings.Split(query, "&")
	for i, j := 0, len(pairs)-1; i < j; i, j = i+1, j-1 {
		pairs[i], pairs[j] = pairs[j], pairs[i]
	}
	return base + "?" + strings.Join(pairs, "&")
}

// timed are refused because of when they were signed, or by whom.
func timed() ([]vector, error) {
	rows := []struct {
		vector
		at string
	}{
		{vector{name: "v16-future-15-minutes-1-second", now: "2026-01-02T02:49:04Z"}, ""},
		{vector{name: "v16-future-16-minutes", now: "2026-01-02T02:48:05Z"}, ""},
		{vector{name: "v16-future-with-max-age", now: "2026-01-02T03:03:14Z", maxAge: "20s"}, ""},
		{vector{name: "v16-future-14-minutes-with-max-age-1s", now: "2026-01-02T02:50:05Z", maxAge: "1s"}, ""},
		{vector{name: "v16-future-with-max-age-near-the-limit", now: "2026-01-02T02:49:04Z", maxAge: "14m59s"}, ""},
		{vector{name: "v16-year-2099"}, "20990102T030405Z"},
		{vector{name: "v16-year-9999"}, "99991231T235959Z"},
		{vector{name: "v17-age-15-minutes-1-second", now: "2026-01-02T03:19:06Z"}, ""},
		{vector{name: "v17-age-a-day", now: "2026-01-03T03:04:05Z"}, ""},
		{vector{name: "v17-year-1970"}, "19700101T000000Z"},
		{vector{name: "v17-year-0001"}, "00010101T000000Z"},
		{vector{name: "v17-year-0000"}, "00000101T000000Z"},
		{vector{name: "v17-max-age-20s", now: "2026-01-02T03:04:26Z", maxAge: "20s"}, ""},
		{vector{name: "v17-max-age-never-extends", now: "2026-01-02T03:19:06Z", maxAge: "1h"}, ""},
		{vector{name: "v22-denied-key", denyKey: keyID}, ""},
	}
	var out []vector
	for _, r := range rows {
		signed, err := sign(request{at: r.at, expires: "900"})
		if err != nil {
			return nil, err
		}
		r.token = encode(signed)
		out = append(out, r.vector)
	}
	session, err := sign(request{session: sessionToken(900)})
	if err != nil {
		return nil, err
	}
	escaped, err := replace(session, keyID, keyID[:1]+"%4B"+keyID[2:])
	if err != nil {
		return nil, err
	}
	return append(out,
		vector{name: "v22-denied-key-of-a-session", denyKey: keyID, token: encode(session)},
		vector{name: "v22-denied-key-escaped", denyKey: keyID, token: encode(escaped)}), nil
}
