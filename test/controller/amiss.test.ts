import t from 'tap';
import { isAmiss, type Present } from '../../controller/amiss.ts';
import type { SandboxRecord } from '../../controller/records.ts';
import { podOf } from '../../lib/attachments/pod.ts';
import { noNamespaces, scratchPod } from '../support/namespaces/namespace.ts';

t.test('a pod is looked at if its record is not what there is', { skip: noNamespaces }, async (t) => {
  const scratch = scratchPod(t);
  const pod = podOf({
    metadata: { namespace: 'default', name: 'web', uid: 'u', resourceVersion: '1' },
    status: { phase: 'Running' },
  });
  const result = { interfaces: [{ name: 'eth0', sandbox: scratch.path }] };
  const attachment = { ifname: 'eth0', network: 'default/blue', state: 'attached', request: {}, result } as const;
  const record: SandboxRecord = {
    ...{ version: 1, containerID: 'c', netns: scratch.path, defaults: [], attachments: [attachment] },
    pod: { namespace: 'default', name: 'web', uid: 'u' },
  };
  const sandbox = { id: 'c', name: 'web', namespace: 'default', uid: 'u', attempt: 0, isReady: true };
  const present: Present = {
    sandboxes: [sandbox],
    podOf: (key) => (key === 'default/web' ? pod : undefined),
    pathOf: (path) => path,
  };
  t.equal(isAmiss(record, present), false);
  const amiss: { [what: string]: () => boolean } = {
    'the sandbox has ended': () => isAmiss(record, { ...present, sandboxes: [{ ...sandbox, isReady: false }] }),
    'there is no such sandbox': () => isAmiss(record, { ...present, sandboxes: [] }),
    'the pod is gone': () => isAmiss(record, { ...present, podOf: () => undefined }),
    'the pod ends': () => isAmiss(record, { ...present, podOf: () => ({ ...pod, isRunning: false }) }),
    'it is another pod': () => isAmiss({ ...record, pod: { ...record.pod, uid: 'other' } }, present),
    'something is not finished': () =>
      isAmiss({ ...record, attachments: [{ ...attachment, state: 'unfinished' }] }, present),
    'there is no such namespace': () => isAmiss({ ...record, netns: '/nowhere' }, present),
  };
  for (const [what, isSo] of Object.entries(amiss)) t.equal(isSo(), true, what);
  scratch.ip('link del eth0');
  t.equal(isAmiss(record, present), true, 'the interface is gone');
});
