import { join } from 'node:path';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import t from 'tap';
import { Survey } from '../../agent/survey.ts';
import { staticRoute } from '../../plugins/static-route/main.ts';
import { noNamespaces, scratchFolder, scratchPod } from '../support/namespaces/namespace.ts';
import { call, success, variables } from '../support/plugins/call.ts';

t.test('drift is counted for the metrics, and told once in the log', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  const dataDir = join(scratchFolder(t), 'data');
  const config = { cniVersion: '1.0.0', name: 'blue', dataDir, routes: [{ dst: '10.9.0.0/16' }] };
  const add = async () => success(await call(staticRoute, variables('ADD', pod.path), config));
  await add();
  const log: { [key: string]: unknown }[] = [];
  const told: string[] = [];
  let looked = () => {};
  const survey = new Survey({
    dataDir,
    plugins: ['static-route'],
    log: pino({}, { write: (line: string) => log.push(JSON.parse(line)) }),
    everyMs: 20,
    drifts: ({ ifname, network }, missing) => told.push(`${ifname} ${network}: ${missing.join()}`),
    done: () => looked(),
  });
  const registry = new Registry();
  survey.register(registry);
  // A look may be under way already.
  const nextLook = async () => {
    for (let i = 0; i < 2; i++)
      await new Promise<void>((resolve) => {
        looked = resolve;
      });
  };
  const counts = async () => (await registry.metrics()).split('\n').filter((line) => / [1-9]\d*$/.test(line));
  survey.start();
  t.teardown(() => survey.stop());
  await nextLook();
  t.strictSame(await counts(), ['waymark_attachments{state="in place"} 1']);
  t.match(await registry.metrics(), 'waymark_attachments{state="drift"} 0', 'the others exist before they are needed');

  pod.ip('route del 10.9.0.0/16');
  await nextLook();
  await nextLook();
  t.strictSame(await counts(), ['waymark_attachments{state="drift"} 1']);
  t.match(survey.status(), { drift: 1, 'in place': 0 });
  t.match(log, [
    {
      level: 40,
      msg: 'an attachment is not as ADD left it',
      plugin: 'static-route',
      containerID: 'container-1',
      ifname: 'eth0',
      network: 'blue',
      details: 'route 10.9.0.0/16 dev eth0 is missing',
    },
  ]);
  t.equal(log.length, 1);
  t.strictSame(told, ['eth0 blue: route 10.9.0.0/16 dev eth0 is missing']);

  await add();
  await nextLook();
  t.strictSame(await counts(), ['waymark_attachments{state="in place"} 1']);
  pod.ip('route del 10.9.0.0/16');
  await nextLook();
  t.equal(log.length, 2, 'what drifts again is told again');
  t.equal(told.length, 2);
  await survey.stop();
});
