{{- define "ekskey.labels" -}}
app.kubernetes.io/name: ekskey-server
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "ekskey.selector" -}}
app.kubernetes.io/name: ekskey-server
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* The configuration: what the chart sets, and the values of server. */ -}}
{{- define "ekskey.config" -}}
{{- $own := dict "stateDir" "/var/lib/ekskey-server" }}
{{- if eq .Values.kind "DaemonSet" }}
{{- $_ := set $own "generateKubeconfig" "/etc/kubernetes/ekskey-server/kubeconfig.yaml" }}
{{- $_ := set $own "healthAddress" "127.0.0.1:21363" }}
{{- else }}
{{- $_ := set $own "address" "0.0.0.0" }}
{{- $_ := set $own "healthAddress" ":21363" }}
{{- $_ := set $own "clientCAFile" "/etc/ekskey-client-ca/ca.crt" }}
{{- end }}
{{- toYaml (dict "clusterID" .Values.clusterID "server" (merge $own .Values.server)) }}
{{- end }}
