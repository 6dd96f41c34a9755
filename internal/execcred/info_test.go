package execcred_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ekskey/ekskey/internal/execcred"
)

const (
	goodInfo    = `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"interactive":true}}`
	clusterInfo = `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"cluster":{"server":"https://x","certificate-authority-data":"Y2E=","config":{"clusterName":"demo","other":[{"a":1}]}},"interactive":true}}`
)

func TestParseInfo(t *testing.T) {
	swap := func(from, to string) string {
		if strings.Count(goodInfo, from) != 1 {
			t.Fatalf("%q stands not once in the good one", from)
		}
		return strings.Replace(goodInfo, from, to, 1)
	}
	v1 := execcred.Info{APIVersion: execcred.V1, Interactive: true}
	for _, tt := range []struct {
		name, value string
		want        execcred.Info // zero: refused
	}{
		{"v1", goodInfo, v1},
		{"v1beta1", swap("/v1", "/v1beta1"), execcred.Info{APIVersion: execcred.V1Beta1, Interactive: true}},
		{"v1alpha1", swap("/v1", "/v1alpha1"), execcred.Info{APIVersion: execcred.V1Alpha1, Interactive: true}},
		{"not interactive", swap("true", "false"), execcred.Info{APIVersion: execcred.V1}},
		{"interactive is null", swap("true", "null"), v1},
		{"no spec", swap(`,"spec":{"interactive":true}`, ""), v1},
		{"spec is null", swap(`{"interactive":true}`, "null"), v1},
		{"unknown fields", swap(`"spec":{`, `"new":{"a":[1]},"spec":{"newer":[{}],`), v1},
		{"space around", " \n" + goodInfo + "\t", v1},

		{"empty", "", execcred.Info{}},
		{"null", "null", execcred.Info{}},
		{"a list", "[]", execcred.Info{}},
		{"a list of one", "[" + goodInfo + "]", execcred.Info{}},
		{"a number", "1", execcred.Info{}},
		{"a string", `"v1"`, execcred.Info{}},
		{"true", "true", execcred.Info{}},
		{"an empty object", "{}", execcred.Info{}},
		{"cut short", goodInfo[:40], execcred.Info{}},
		{"a bracket short", strings.TrimSuffix(goodInfo, "}"), execcred.Info{}},
		{"two documents", goodInfo + goodInfo, execcred.Info{}},
		{"a bracket behind", goodInfo + "}", execcred.Info{}},
		{"YAML", "apiVersion: client.authentication.k8s.io/v1\nkind: ExecCredential", execcred.Info{}},
		{"huge", swap(`"spec"`, `"x":"`+strings.Repeat("x", 1<<18)+`","spec"`), execcred.Info{}},
		{"deep", swap(`"spec"`, `"x":`+strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000)+`,"spec"`), execcred.Info{}},
		{"another kind", swap("ExecCredential", "TokenReview"), execcred.Info{}},
		{"A12 no kind", swap(`"kind":"ExecCredential",`, ""), v1},
		{"A12 an empty kind", swap(`"ExecCredential"`, `""`), v1},
		{"kind is a list", swap(`"ExecCredential"`, "[]"), execcred.Info{}},
		{"another group", swap("client.", "x."), execcred.Info{}},
		{"no group", swap("client.authentication.k8s.io/", ""), execcred.Info{}},
		{"an unknown version", swap("/v1", "/v2"), execcred.Info{}},
		{"no version", swap("/v1", "/"), execcred.Info{}},
		{"a version in capitals", swap("/v1", "/V1"), execcred.Info{}},
		{"a version of another type", swap(`"client.authentication.k8s.io/v1"`, "1"), execcred.Info{}},
		{"names in capitals", swap("apiVersion", "APIVERSION"), execcred.Info{}},
		{"spec is a list", swap(`{"interactive":true}`, "[]"), execcred.Info{}},
		{"interactive is a string", swap("true", `"false"`), execcred.Info{}},
		{"two versions", swap(`"kind"`, `"apiVersion":"client.authentication.k8s.io/v1beta1","kind"`), execcred.Info{}},
		{"two specs", swap(`"spec"`, `"spec":{"interactive":false},"spec"`), execcred.Info{}},
		{"two answers to interactive", swap("true", `false,"interactive":true`), execcred.Info{}},
		{"one of them escaped", swap("true", `false,"\u0069nteractive":true`), execcred.Info{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			checkInfo(t, tt.value, tt.want, tt.want == (execcred.Info{}))
		})
	}
}

func TestClusterInfo(t *testing.T) {
	const config = `{"clusterName":"demo","other":[{"a":1}]}`
	for _, tt := range []struct {
		name, from, to, want string
		refused              bool
	}{
		{"as it is", "", "", "demo", false},
		{"not valid as a name, for others to refuse", `"demo"`, `"a b\u0000é"`, "a b\x00é", false},
		{"empty", `"demo"`, `""`, "", false},
		{"null", `"demo"`, `null`, "", false},
		{"a number", `"demo"`, `7`, "", false},
		{"a list", `"demo"`, `["demo"]`, "", false},
		{"in capitals", "clusterName", "clustername", "", false},
		{"no such name", `"clusterName":"demo",`, "", "", false},
		{"config is null", config, "null", "", false},
		{"config is a list", config, `[{"clusterName":"demo"}]`, "", false},
		{"config is a string", config, `"{\"clusterName\":\"demo\"}"`, "", false},
		{"no config", `,"config":` + config, "", "", false},
		{"cluster is null", `{"server":"https://x","certificate-authority-data":"Y2E=","config":` + config + `}`, "null", "", false},
		{"cluster is a list", `{"server":"https://x","certificate-authority-data":"Y2E=","config":` + config + `}`, "[]", "", false},
		{"two names", `"demo"`, `"demo","clusterName":"other"`, "", true},
		{"two configs", `"config":`, `"config":{},"config":`, "", true},
		{"two clusters", `"cluster":`, `"cluster":null,"cluster":`, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if strings.Count(clusterInfo, tt.from) != 1 && tt.from != "" {
				t.Fatalf("%q stands not once in the good one", tt.from)
			}
			want := execcred.Info{APIVersion: execcred.V1, Interactive: true, ClusterName: tt.want}
			checkInfo(t, strings.Replace(clusterInfo, tt.from, tt.to, 1), want, tt.refused)
		})
	}
}

func checkInfo(t *testing.T, value string, want execcred.Info, refused bool) {
	t.Helper()
	got, err := execcred.ParseInfo(value)
	if refused {
		want = execcred.Info{}
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	var info *execcred.InfoError
	if refused != errors.As(err, &info) {
		t.Errorf("error %v", err)
	}
	if err != nil && len(err.Error()) > 300 {
		t.Errorf("the error quotes too much: %v", err)
	}
}

func FuzzParseInfo(f *testing.F) {
	for _, seed := range []string{"", "null", "[]", "{}", "1", goodInfo, clusterInfo, goodInfo + goodInfo, strings.Replace(goodInfo, "true", "false", 1)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		info, err := execcred.ParseInfo(value)
		if err != nil {
			if info != (execcred.Info{}) {
				t.Errorf("an error and a value: %+v", info)
			}
			return
		}
		if v, err := execcred.ParseVersion(info.APIVersion); err != nil || v != info.APIVersion {
			t.Errorf("accepted version %q", info.APIVersion)
		}
	})
}
