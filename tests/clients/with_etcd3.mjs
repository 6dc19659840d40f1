// What programs do with the client `etcd3` of npm: FOLDER (where it is installed) HOST:PORT
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const [folder, address] = process.argv.slice(2);
const { Etcd3 } = createRequire(`${folder}/`)('etcd3');
const client = new Etcd3({ hosts: address });

const lease = client.lease(60);
await lease.put('kv/leased').value('1');
await client.put('kv/a').value('x');
assert.equal(await client.get('kv/a').string(), 'x');
assert.deepEqual(await client.getAll().prefix('kv/').strings(), { 'kv/a': 'x', 'kv/leased': '1' });

const put = client.put('kv/a').value('y');
const { succeeded } = await client.if('kv/a', 'Value', '==', 'x').then(put).commit();
assert.equal(succeeded, true);
assert.equal((await client.if('kv/a', 'Value', '==', 'x').then(put).commit()).succeeded, false);

const watcher = await client.watch().prefix('kv/').create();
const deleted = new Promise((told) => watcher.on('delete', (kv) => told(kv.key.toString())));
await lease.revoke();
assert.equal(await deleted, 'kv/leased');
await watcher.cancel();

const lock = client.lock('locks/a');
await lock.acquire();
await lock.release();

client.close();
console.log('all held');
