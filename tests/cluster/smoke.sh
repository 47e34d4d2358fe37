#!/usr/bin/env bash
# Proves Foreword on the cluster of $KUBECONFIG: apply, migrations, readiness, a rollout under load without a failed
# request, eviction against the PodDisruptionBudget, killed pods, and a Job whose schema is there already.
#
#   OVERLAY=k8s/overlays/dev tests/cluster/smoke.sh
#
# It needs kubectl (1.30 or later) and images that the cluster can pull (make images, then kind load docker-image …).
# Everything happens in the namespace foreword, which stays unless CLEAN_UP=1.
set -euo pipefail
cd "$(dirname "$0")/../.."

overlay=${OVERLAY:-k8s/overlays/dev}
namespace=foreword
load_image=${LOAD_IMAGE:-foreword-gateway:0.1.0}
services=(embedder recommender gateway)

k() { kubectl -n "$namespace" "$@"; }
step() { printf '\n== %s\n' "$*"; }
fail() {
    printf 'FAILED: %s\n' "$*" >&2
    k get pods,jobs -o wide >&2 || true
    k get events --sort-by=.lastTimestamp 2>/dev/null | tail -20 >&2 || true
    exit 1
}
clean_up() {
    k delete pod smoke-load --ignore-not-found --wait=false >/dev/null 2>&1 || true
    if [ "${CLEAN_UP:-0}" = 1 ]; then kubectl delete -k "$overlay" --ignore-not-found --wait=false; fi
}
trap clean_up EXIT

wait_until_served() {
    for service in "${services[@]}"; do
        k rollout status "deployment/$service" --timeout=10m || fail "$service does not become ready"
    done
}

step "Apply $overlay"
if kubectl get namespace "$namespace" >/dev/null 2>&1; then
    k delete job -l app.kubernetes.io/component=migration --ignore-not-found
fi
kubectl apply -k "$overlay"

step "The migrations run and the services become ready"
k wait --for=condition=complete job -l app.kubernetes.io/component=migration --timeout=10m || fail "migrations"
wait_until_served

step "Two of each, so that one may go"
for service in "${services[@]}"; do
    k patch hpa "$service" --type=merge -p '{"spec":{"minReplicas":2,"maxReplicas":3}}'
done
for service in "${services[@]}"; do
    for _ in $(seq 60); do
        [ "$(k get deployment "$service" -o jsonpath='{.status.readyReplicas}')" -ge 2 ] 2>/dev/null && break
        sleep 5
    done
done
wait_until_served

step "A client inside the cluster, on new connections, for as long as the rest takes"
key=$(k exec deploy/gateway -- foreword keys create --kind secret --scope all --name smoke 2>/dev/null | head -1)
[ -n "$key" ] || fail "no key could be made"
# Pods without this label reach nothing: the default is to deny. It stands where an ingress controller would.
k apply -f - <<'POLICY'
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: smoke-load}
spec:
  podSelector: {matchLabels: {foreword-smoke: load}}
  policyTypes: [Egress]
  egress:
    - to: [{podSelector: {matchLabels: {app.kubernetes.io/name: gateway}}}]
      ports: [{port: 8080, protocol: TCP}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: smoke-load-in}
spec:
  podSelector: {matchLabels: {app.kubernetes.io/name: gateway}}
  policyTypes: [Ingress]
  ingress:
    - from: [{podSelector: {matchLabels: {foreword-smoke: load}}}]
      ports: [{port: 8080, protocol: TCP}]
POLICY
k delete pod smoke-load --ignore-not-found
k apply -f - <<POD
apiVersion: v1
kind: Pod
metadata: {name: smoke-load, labels: {foreword-smoke: load}}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  securityContext: {runAsNonRoot: true, runAsUser: 10001, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: load
      image: $load_image
      imagePullPolicy: IfNotPresent
      env: [{name: KEY, value: "$key"}]
      securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
      resources: {requests: {cpu: 50m, memory: 128Mi}, limits: {memory: 128Mi}}
      command:
        - python
        - -u
        - -c
        - |
          import http.client, json, os, signal, sys, time
          going = True
          def stop(*_):
              global going
              going = False
          signal.signal(signal.SIGTERM, stop)
          sent = failed = degraded = 0
          headers = {"Authorization": "Bearer " + os.environ["KEY"], "Content-Type": "application/json",
                     "Connection": "close"}
          told = time.monotonic()
          while going:
              sent += 1
              try:
                  c = http.client.HTTPConnection("gateway", 8080, timeout=10)
                  c.request("POST", "/v1/recommendations", json.dumps({"user_id": f"u{sent}", "count": 3}), headers)
                  r = c.getresponse(); body = r.read(); c.close()
                  if r.status != 200:
                      failed += 1; print("status", r.status, body[:200])
                  elif json.loads(body)["meta"].get("degraded"):
                      degraded += 1
              except Exception as e:
                  failed += 1; print(type(e).__name__, e)
              if time.monotonic() - told > 5:
                  told = time.monotonic(); print(f"SO FAR {sent} {failed} {degraded}")
              time.sleep(0.02)
          print(f"RESULT {sent} {failed} {degraded}")
POD
k wait --for=condition=ready pod/smoke-load --timeout=2m || fail "the client does not start"
sleep 10

failures() { k logs smoke-load | awk '/^(SO FAR|RESULT)/ {n = $(NF - 1)} END {print n + 0}'; }
require_no_failure() {
    sleep 6
    [ "$(failures)" = 0 ] || { k logs smoke-load | tail -20; fail "requests failed: $1"; }
}

step "A rollout of every service under load"
for service in "${services[@]}"; do k rollout restart "deployment/$service"; done
wait_until_served
require_no_failure "during a rollout"

step "Evictions: the budget lets one pod of a service go at a time"
for service in "${services[@]}"; do
    mapfile -t pods < <(k get pods -l "app.kubernetes.io/name=$service" -o name | cut -d/ -f2)
    refused=0
    for pod in "${pods[@]}"; do
        body="{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{\"name\":\"$pod\",\"namespace\":\"$namespace\"}}"
        if ! echo "$body" | kubectl create --raw "/api/v1/namespaces/$namespace/pods/$pod/eviction" -f - >/dev/null 2>&1; then
            refused=$((refused + 1))
        fi
    done
    [ "$refused" -ge 1 ] || fail "every pod of $service could be evicted at once"
    k rollout status "deployment/$service" --timeout=10m
    sleep 10
done
require_no_failure "during evictions"

step "Killed pods come back; what is acknowledged stays"
k exec deploy/gateway -- python -c "
import http.client, json, sys
c = http.client.HTTPConnection('127.0.0.1', 8080, timeout=30)
c.request('PUT', '/v1/assets/smoke', json.dumps({'title': 'Smoke', 'url': 'https://example.com/smoke'}),
          {'Authorization': 'Bearer ' + sys.argv[1], 'Content-Type': 'application/json'})
sys.exit(c.getresponse().status not in (200, 201))" "$key" || fail "an asset could not be stored"
k delete pod -l app.kubernetes.io/name=recommender --grace-period=0 --force
wait_until_served
k exec deploy/gateway -- python -c "
import http.client, sys
c = http.client.HTTPConnection('127.0.0.1', 8080, timeout=30)
c.request('GET', '/v1/assets/smoke', headers={'Authorization': 'Bearer ' + sys.argv[1]})
sys.exit(c.getresponse().status != 200)" "$key" || fail "an acknowledged asset is gone"

step "The migration runs again and changes nothing"
job=$(k get job -l app.kubernetes.io/name=migrate-recommender -o name | head -1)
k get "$job" -o json | python3 -c "
import json, sys
job = json.load(sys.stdin)
spec = job['spec']
spec.pop('selector', None)
for key in ('controller-uid', 'batch.kubernetes.io/controller-uid', 'job-name', 'batch.kubernetes.io/job-name'):
    spec['template']['metadata']['labels'].pop(key, None)
print(json.dumps({'apiVersion': 'batch/v1', 'kind': 'Job', 'spec': spec,
                  'metadata': {'name': 'migrate-again', 'labels': {'app.kubernetes.io/component': 'migration'}}}))
" | k apply -f -
k wait --for=condition=complete job/migrate-again --timeout=5m || fail "a second migration does not end well"
k delete job migrate-again

step "What the client saw"
k delete pod smoke-load --wait=false
k logs -f smoke-load | tail -5 || true
k delete networkpolicy smoke-load smoke-load-in
echo "All of it holds."
