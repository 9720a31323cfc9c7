import t, { type Test } from 'tap';
import type { KubeObject } from '../../../lib/kubernetes/object.ts';
import { MAX_LINE_BYTES, Watch, type WatchOptions } from '../../../lib/kubernetes/watch.ts';
import { ApiStandIn, refuse } from '../../support/kubernetes/api-stand-in.ts';
import { until } from '../../support/until.ts';

const PODS = '/api/v1/pods';
const pathOf = (name: string) => `/api/v1/namespaces/a/pods/${name}`;
const pod = (name: string, value: string, nodeName = 'n') => ({
  metadata: { name, namespace: 'a', labels: { value } },
  spec: { nodeName },
});

async function watching(t: Test, more: Partial<WatchOptions<string>> = {}, prepare = (_: ApiStandIn) => {}) {
  const server = new ApiStandIn();
  await server.start();
  prepare(server);
  const told: string[] = [];
  const failures: string[] = [];
  const client = server.client();
  const watch = new Watch<string>({
    client,
    path: PODS,
    query: { fieldSelector: 'spec.nodeName=n' },
    keep: ({ metadata }: KubeObject) => metadata.labels?.value ?? '',
    changed: (key, now, before) => told.push(`${key}: ${before ?? '-'} > ${now ?? '-'}`),
    failed: (error) => failures.push(error.message),
    backoff: { firstMs: 5, maxMs: 20 },
    ...more,
  });
  watch.start();
  t.teardown(async () => {
    await watch.stop();
    client.close();
    await server.stop();
  });
  return { server, watch, told, failures };
}

t.test('asks for pages of as many items as client-go does', async (t) => {
  const { server } = await watching(t);
  await until(() => server.asked.some(({ query }) => query.has('watch')));
  t.equal(server.asked[0]?.query.get('limit'), '500');
});

t.test('tells nothing of a list that arrives as it is stopped', async (t) => {
  const server = new ApiStandIn();
  await server.start();
  server.put(pathOf('p1'), pod('p1', 'old'));
  const client = server.client();
  t.teardown(() => {
    client.close();
    return server.stop();
  });
  const told: string[] = [];
  const list = client.list.bind(client);
  let stopped: Promise<void> | undefined;
  client.list = async (...question) => {
    const page = await list(...question);
    stopped = watch.stop();
    return page;
  };
  const watch = new Watch<string>({ client, path: PODS, keep: () => '', changed: (key) => told.push(key) });
  watch.start();
  await until(() => stopped !== undefined);
  await stopped;
  t.strictSame([told, [...watch.items]], [[], []]);
});

t.test('reads the list in pages, then follows it', async (t) => {
  // From its cache, which "0" asks for, a real server gives all at once; this one has lost its place.
  const { server, watch, told } = await watching(t, { pageSize: 2 }, (server) => {
    for (const name of ['p1', 'p2', 'p3', 'p4', 'p5']) server.put(pathOf(name), pod(name, 'old'));
    server.put(pathOf('elsewhere'), pod('elsewhere', 'old', 'another'));
    let lists = 0;
    server.fault = ({ query }, response) => {
      if (query.has('watch') || lists++ > 0) return undefined;
      refuse(response, 410, 'Expired', 'too old');
      return true;
    };
  });
  await until(() => watch.items.size === 5 && server.watching === 1);
  const lists = server.asked.filter(({ query }) => !query.has('watch'));
  t.strictSame(
    lists.map(({ query }) => query.has('continue')),
    [false, false, true, true],
  );
  server.put(pathOf('p1'), pod('p1', 'new'));
  server.delete(pathOf('p2'));
  server.put(pathOf('p6'), pod('p6', 'late'));
  await until(() => watch.items.has('a/p6'));
  t.strictSame(told.slice(5), ['a/p1: old > new', 'a/p2: old > -', 'a/p6: - > late']);
  t.strictSame(
    [...watch.items.keys()].sort(),
    ['a/p1', 'a/p3', 'a/p4', 'a/p5', 'a/p6'],
    'what is gone is no item any more',
  );
});

for (const how of ['end', 'destroy'] as const) {
  t.test(`takes a watch up where it broke off (${how}), and misses nothing`, async (t) => {
    const { server, watch, told } = await watching(t, {}, (server) => server.put(pathOf('p'), pod('p', '0')));
    await until(() => server.watching === 1);
    server.bookmark();
    server.put(pathOf('p'), pod('p', '1'));
    await until(() => watch.items.get('a/p') === '1');
    server.endWatches(how);
    server.put(pathOf('p'), pod('p', '2'));
    server.put(pathOf('p'), pod('p', '3'));
    await until(() => watch.items.get('a/p') === '3');
    t.strictSame(told, ['a/p: - > 0', 'a/p: 0 > 1', 'a/p: 1 > 2', 'a/p: 2 > 3']);
    t.equal(server.asked.filter(({ query }) => !query.has('watch')).length, 1, 'the list was read once');
  });
}

t.test('reads the list again after 410, from the store, and tells what went meanwhile', async (t) => {
  const { server, watch, told } = await watching(t, {}, (server) => {
    server.put(pathOf('stays'), pod('stays', '0'));
    server.put(pathOf('goes'), pod('goes', '0'));
  });
  await until(() => server.watching === 1);
  server.fault = (_, response) => {
    response.destroy();
    return true;
  };
  server.endWatches();
  server.delete(pathOf('goes'));
  server.put(pathOf('stays'), pod('stays', '1'));
  server.compact();
  server.fault = () => undefined;
  await until(() => watch.items.get('a/stays') === '1' && server.watching === 1);
  t.strictSame(told.slice(2), ['a/goes: 0 > -', 'a/stays: 0 > 1']);
  t.strictSame([...watch.items.keys()], ['a/stays']);
  const versions = server.asked
    .filter(({ query }) => !query.has('watch'))
    .map(({ query }) => query.get('resourceVersion'));
  t.strictSame(versions, ['0', null]);
});

t.test('takes an ERROR event of code 410 as such', async (t) => {
  let errors = 0;
  const { server, watch } = await watching(t, {}, (server) => {
    server.put(pathOf('p'), pod('p', '0'));
    server.fault = ({ query }, response) => {
      if (!query.has('watch') || errors++ > 0) return undefined;
      response.writeHead(200).end('{"type":"ERROR","object":{"code":410,"message":"too old","reason":"Expired"}}\n');
      return true;
    };
  });
  await until(() => server.watching === 1);
  t.equal(watch.items.get('a/p'), '0');
  t.equal(server.asked.filter(({ query }) => !query.has('watch')).length, 2);
});

t.test('outlives a server that is away, refuses, or ends each watch at once', async (t) => {
  let kind = 0;
  let recoveries = 0;
  const recovered = () => recoveries++;
  const { server, watch, failures } = await watching(t, { recovered }, (server) => {
    server.put(pathOf('p'), pod('p', '0'));
    server.fault = ({ query }, response) => {
      const at = kind++;
      if (at === 0) response.destroy();
      else if (at === 1) refuse(response, 500, 'InternalError', 'etcd is away');
      else if (query.has('watch') && at < 6) response.writeHead(200).end();
      else return undefined;
      return true;
    };
  });
  await until(() => server.watching === 1);
  t.equal(watch.items.get('a/p'), '0');
  t.match(failures, [/cannot be reached/, /etcd is away/, /ended at once/]);
  t.ok(recoveries > 0, 'and says when the server answers again');
});

t.test('a line that is cut into pieces, or no JSON, loses nothing', async (t) => {
  let garbage = false;
  const { server, watch } = await watching(t, {}, (server) => {
    server.put(pathOf('p'), pod('p', 'é'.repeat(40_000)));
    server.fault = ({ query }, response) => {
      if (!query.has('watch') || garbage) return undefined;
      garbage = true;
      response.writeHead(200).end('{"type":"MODIF\n');
      return true;
    };
  });
  await until(() => server.watching === 1);
  server.put(pathOf('p'), pod('p', 'ü'.repeat(40_000)));
  await until(() => watch.items.get('a/p') === 'ü'.repeat(40_000));
});

t.test('stops at once although the server does not answer', async (t) => {
  const silent = new ApiStandIn();
  await silent.start();
  silent.fault = () => true;
  const client = silent.client(60_000);
  const { watch, failures } = await watching(t, { client });
  await until(() => silent.asked.length === 1);
  let isStopped = false;
  void watch.stop().then(() => {
    isStopped = true;
  });
  await until(() => isStopped).finally(async () => {
    client.close();
    await silent.stop();
  });
  t.strictSame(failures, [], 'which is no failure');
});

t.test('the server ends a watch after five minutes, and up to twice as many, as the client asks for', async (t) => {
  for (const [random, seconds] of [
    [0, '300'],
    [0.5, '450'],
    [1, '600'],
  ] as const) {
    t.intercept(Math, 'random', { value: () => random });
    const { server } = await watching(t);
    await until(() => server.watching === 1);
    const asked = server.asked.find(({ query }) => query.has('watch'));
    t.strictSame(
      ['timeoutSeconds', 'allowWatchBookmarks', 'fieldSelector'].map((key) => asked?.query.get(key)),
      [seconds, 'true', 'spec.nodeName=n'],
    );
  }
});

t.test('a line has 64 MiB at most', async (t) => {
  t.equal(MAX_LINE_BYTES, 67_108_864);
  const line = JSON.stringify({ type: 'BOOKMARK', object: { metadata: { resourceVersion: '7' } } });
  let watches = 0;
  const { server, failures } = await watching(t, { maxLineBytes: line.length }, (server) => {
    server.fault = ({ query }, response) => {
      if (!query.has('watch') || watches++ > 0) return undefined;
      // The end of the second line never comes.
      response.writeHead(200).write(`${line}\n${line}`, () => response.write(' '));
      return true;
    };
  });
  await until(() => server.watching === 1);
  t.strictSame(failures, ['the watch broke off: a line is too long']);
  const asked = server.asked.filter(({ query }) => query.has('watch'));
  t.equal(asked[1]?.query.get('resourceVersion'), '7', 'the first line was within the bound');
});

t.test('a line is read as soon as its end has come, also by itself', async (t) => {
  let watches = 0;
  const { server, watch } = await watching(t, {}, (server) => {
    server.fault = ({ query }, response) => {
      if (!query.has('watch') || watches++ > 0) return undefined;
      const object = {
        metadata: { name: 'p', namespace: 'a', uid: 'u', resourceVersion: '7', labels: { value: '1' } },
      };
      response.writeHead(200).write(JSON.stringify({ type: 'ADDED', object }), () => {
        setTimeout(() => response.write('\n'), 20);
      });
      return true;
    };
  });
  await until(() => watch.items.get('a/p') === '1', 'nothing has come', 20);
  server.endWatches();
});

t.test('an event without a version leaves the place at which the watch goes on', async (t) => {
  const watched = (server: ApiStandIn) => server.asked.filter(({ query }) => query.has('watch'));
  const { server } = await watching(t, {}, (server) => {
    server.fault = ({ query }, response) => {
      if (!query.has('watch') || watched(server).length > 1) return undefined;
      const object = { metadata: { name: 'p', namespace: 'a', uid: 'u', resourceVersion: '7' } };
      const events = [
        { type: 'ADDED', object },
        { type: 'BOOKMARK', object: {} },
      ];
      response.writeHead(200).end(events.map((event) => `${JSON.stringify(event)}\n`).join(''));
      return true;
    };
  });
  await until(() => watched(server).length > 1);
  t.equal(watched(server)[1]?.query.get('resourceVersion'), '7');
});

t.test('waits as long as the server asks for, if that is longer, and doubles its own pauses', async (t) => {
  const pauses: number[] = [];
  let faults = 0;
  const failed = (_: Error, ms: number) => pauses.push(ms);
  t.intercept(Math, 'random', { value: () => 0 });
  const { server } = await watching(t, { failed, backoff: { firstMs: 4, maxMs: 1000 } }, (server) => {
    server.fault = (_, response) => {
      if (faults++ >= 4) return undefined;
      if (faults === 3) response.setHeader('retry-after', '0.05');
      refuse(response, 503, 'ServiceUnavailable', 'it starts');
      return true;
    };
  });
  await until(() => server.watching === 1);
  t.strictSame(pauses, [2, 4, 50, 16]);
});

t.test('a silent watch that the server ends is taken up again at once, without a failure', async (t) => {
  const told: string[] = [];
  const { server, failures } = await watching(t, {
    listed: () => told.push('listed'),
    recovered: () => told.push('recovered'),
  });
  await until(() => server.watching === 1);
  server.bookmark();
  server.endWatches();
  await until(() => server.asked.filter(({ query }) => query.has('watch')).length === 2 && server.watching === 1);
  t.strictSame([failures, told], [[], ['listed']]);
});

t.test('its own first pause is half a second', async (t) => {
  const silent = new ApiStandIn();
  await silent.start();
  silent.fault = (_, response) => {
    refuse(response, 500, 'InternalError', 'etcd is away');
    return true;
  };
  t.intercept(Math, 'random', { value: () => 1 });
  const client = silent.client();
  const pauses: number[] = [];
  const watch = new Watch<string>({
    ...{ client, path: PODS, keep: () => '', changed: () => undefined },
    failed: (_, ms) => pauses.push(ms),
  });
  watch.start();
  await until(() => pauses.length > 0);
  await watch.stop();
  client.close();
  await silent.stop();
  t.strictSame(pauses, [500]);
});

t.test('that something is gone which it never knew is told to nobody', async (t) => {
  const { watch, told } = await watching(t, {}, (server) => {
    server.fault = ({ query }, response) => {
      if (!query.has('watch')) return undefined;
      for (const [type, name] of [
        ['DELETED', 'p1'],
        ['ADDED', 'p2'],
      ] as const) {
        const { metadata } = pod(name, 'new');
        const object = { metadata: { ...metadata, uid: `uid-${name}`, resourceVersion: '200' } };
        response.write(`${JSON.stringify({ type, object })}\n`);
      }
      return true;
    };
  });
  await until(() => watch.items.has('a/p2'));
  t.strictSame(told, ['a/p2: - > new']);
});
