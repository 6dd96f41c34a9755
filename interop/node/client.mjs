// Lists pods each second and watches them, until it is stopped. It prints
// "listed N", "saw TICK" and "failed CODE WHY", which the runner judges.
import * as k8s from '@kubernetes/client-node';

const namespace = process.env.INTEROP_NAMESPACE;
const say = (...words) => console.log(words.join(' ').replaceAll('\n', ' '));
const failed = (err) => say('failed', err.code ?? err.statusCode ?? 0, err.message);

const config = new k8s.KubeConfig();
config.loadFromDefault(); // KUBECONFIG
const pods = config.makeApiClient(k8s.CoreV1Api);
const list = () => pods.listNamespacedPod({ namespace });

const informer = k8s.makeInformer(config, `/api/v1/namespaces/${namespace}/pods`, list);
const seen = (pod) => say('saw', pod.metadata.annotations?.['interop/tick'] ?? 0);
informer.on('add', seen);
informer.on('update', seen);
informer.on('error', (err) => {
  // The informer stops at errors and leaves it to the program to go on. Broken
  // connections carry codes such as ECONNRESET: the runner wants those of HTTP.
  const code = Number.isInteger(err?.statusCode ?? err?.code) ? (err.statusCode ?? err.code) : 0;
  if (code === 401 || code === 403) say('failed', code, 'watching:', err.message);
  setTimeout(() => informer.start(), 1000);
});
await informer.start();

for (;;) {
  try {
    say('listed', (await list()).items.length);
  } catch (err) {
    failed({ code: Number.isInteger(err.code) ? err.code : 0, message: err.message });
  }
  await new Promise((done) => setTimeout(done, 1000));
}
