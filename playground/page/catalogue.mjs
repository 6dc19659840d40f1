// All that one can do, as data: its words, what it needs, and the action that the simulator takes
// (README of the plan files: `sim/src/plan/step.rs`).

const number = (value) => Number(value);

/** The number in `process:3`, `link:3:0` and the like. */
function chosenProcess(selected) {
  return /^(?:process|link|directory|registration):(\d+)/.exec(selected ?? '')?.[1];
}

const processes = (view) => view.processes.map((process) => [String(process.n), `p${process.n}${process.life === 'running' ? '' : ` (${process.life})`}`]);

/** What an action may need: its label, its choices from the view, and what is most likely meant. */
export const FIELDS = {
  process: { label: 'Process', options: processes, likely: (view, selected) => chosenProcess(selected), read: number },
  other: { label: 'And process', options: processes, likely: (view) => (view.processes.length > 1 ? '1' : '0'), read: number },
  member: {
    label: 'Member',
    options: (view) => view.members.map((member) => [String(member.n), `m${member.n}${member.leads ? ' (leads)' : ''}`]),
    likely: (view, selected) => /^(?:member|link:\d+):(\d+)/.exec(selected ?? '')?.[1],
    read: number,
  },
  link: {
    label: 'Its link to',
    options: (view) => [['', 'all members'], ...view.members.map((member) => [String(member.n), `m${member.n}`])],
    likely: (view, selected) => /^link:\d+:(\d+)/.exec(selected ?? '')?.[1],
    read: (value) => (value === '' ? null : Number(value)),
  },
  way: { label: 'Which way', options: () => [['both', 'both ways'], ['up', 'towards the store'], ['down', 'towards the process']] },
  one_way: { label: 'Which way', options: () => [['up', 'towards the store'], ['down', 'towards the process']] },
  registration: {
    label: 'Registration',
    options: (view) => view.processes.flatMap((process) => process.registrations.map((r) => [`${process.n} ${r.id}`, `p${process.n}: ${r.name} (${r.state})`])),
    likely: (view, selected) => /^registration:(\d+:\d+)/.exec(selected ?? '')?.[1].replace(':', ' '),
    read: (value) => { const [process, id] = value.split(' ').map(Number); return { process, id }; },
    none: 'There is no registration.',
  },
  state: { label: 'State', options: () => ['draining', 'ready', 'starting', 'out-of-service'].map((state) => [state, state]) },
  group: { label: 'Group', value: 'web', required: true },
  instance: { label: 'Instance', value: 'web-7', required: true },
  within_ms: { label: 'Within, ms', type: 'number', value: '5000', min: '1', max: '600000', read: number },
  drift: { label: 'Too fast by, per mille', type: 'number', value: '200', min: '-500', max: '1000', read: number },
  extra_ms: { label: 'Longer by, ms (0 ends it)', type: 'number', value: '300', min: '0', max: '60000', read: number },
  count: { label: 'How many', type: 'number', value: '5', min: '1', max: '1000', read: number },
  crowd: { label: 'How many', type: 'number', value: '100', min: '1', max: '10000', read: number },
  at_once: { label: 'In one revision', type: 'number', value: '50', min: '1', max: '100', read: number },
  keep: { label: 'Keep the last revisions', type: 'number', value: '0', min: '0', max: '1000000', read: number },
  lease: {
    label: 'Lease',
    options: (view) => view.leases.map((lease) => [lease.id, `${lease.id.slice(0, 8)}… (${lease.owner === null ? 'nobody here' : `p${lease.owner}`})`]),
    likely: (view, selected) => /^lease:(.+)/.exec(selected ?? '')?.[1],
    none: 'No lease is running.',
  },
  key: {
    label: 'Key',
    options: (view) => view.store.rows.map((row) => [row.key, row.name]),
    likely: (view, selected) => /^key:(.+)/s.exec(selected ?? '')?.[1],
    none: 'The store holds nothing.',
  },
  any_key: {
    label: 'Key', value: '/portolan/instances/web/stranger', required: true,
    likely: (view, selected) => /^key:(.+)/s.exec(selected ?? '')?.[1],
  },
  value: { label: 'Value', value: '{"v":1,"state":"ready"}' },
  lease_secs: { label: 'On a lease of its own, seconds (empty: none)', type: 'number', value: '', min: '1', max: '86400', read: (value) => (value === '' ? null : Number(value)) },
};

/** An action on a link: one member, or all. */
const link = (name, more = () => ({})) => (values) => ({ [name]: { process: values.process, ...(values.link === null ? {} : { member: values.link }), ...more(values) } });
const process = (name) => (values) => ({ [name]: { process: values.process } });
const member = (fault) => (values) => ({ member: { member: values.member, fault } });
const store = (fault) => () => ({ store: { fault } });

const A_PROCESS = 'Processes';
const WORK = 'What applications do';
const NET = 'The network';
const MEMBERS = 'One member of the store';
const STORE = 'The whole store';
const KEYS = 'Leases and keys';

/** The actions, in the order in which they are offered. */
export const ACTIONS = [
  { id: 'crash', group: A_PROCESS, label: 'Crash a process', about: 'It ends without a word. Its records stay until their lease has run out.', fields: ['process'], build: process('crash') },
  { id: 'restart', group: A_PROCESS, label: 'Restart a process', about: 'A new run, which wants what the former one wanted.', fields: ['process'], build: process('restart') },
  { id: 'pause', group: A_PROCESS, label: 'Hold a process', about: 'As a suspended machine does: what reaches it waits, and so do its timers.', fields: ['process'], build: process('pause') },
  { id: 'resume', group: A_PROCESS, label: 'Let a held process go on', about: 'For it, time has jumped.', fields: ['process'], build: process('resume') },
  { id: 'shutdown', group: A_PROCESS, label: 'Shut a process down', about: 'In good order: it removes its records and revokes its leases first.', fields: ['process', 'within_ms'], build: ({ process: n, within_ms }) => ({ shutdown: { process: n, within_ms } }) },
  { id: 'clock', group: A_PROCESS, label: 'Let a clock run wrong', about: 'The process counts its leases by this clock. 200 per mille: a fifth too fast.', fields: ['process', 'drift'], build: ({ process: n, drift }) => ({ clock: { process: n, drift_permille: drift } }) },
  { id: 'add-process', group: A_PROCESS, label: 'Add a process', about: 'One more, with links to every member.', build: () => ({ 'add-process': {} }) },

  { id: 'register', group: WORK, label: 'Register an instance', about: 'Published under a lease, and kept until it is removed.', fields: ['process', 'group', 'instance'], build: ({ process: n, group, instance }) => ({ register: { process: n, group, instance } }) },
  { id: 'publish', group: WORK, label: 'Change an instance’s state', about: 'Draining says: finish what you have, send nothing new.', fields: ['registration', 'state'], build: ({ registration, state }) => ({ publish: { ...registration, state } }) },
  { id: 'deregister', group: WORK, label: 'Remove an instance', about: 'Its owner takes it away, and is told when that is certain.', fields: ['registration'], build: ({ registration }) => ({ deregister: registration }) },
  { id: 'open', group: WORK, label: 'Open a directory', about: 'A local list of a group’s instances, which a watch keeps fresh.', fields: ['process', 'group'], build: ({ process: n, group }) => ({ open: { process: n, scope: { instances: group } } }) },
  { id: 'edit', group: WORK, label: 'Edit a group’s configuration', about: 'Read, change, compare and swap.', fields: ['process', 'group'], build: ({ process: n, group }) => ({ edit: { process: n, group } }) },
  { id: 'edit-both', group: WORK, label: 'Edit it from two processes at once', about: 'At the same moment: one wins, the other changes what it had not seen, and both changes stay.', fields: ['process', 'other', 'group'], build: ({ process: n, other, group }) => [{ edit: { process: n, group } }, { edit: { process: other, group } }] },

  { id: 'cut', group: NET, label: 'Cut a link', about: 'It carries nothing any more. What is written to it waits.', fields: ['process', 'link', 'way'], build: link('cut', ({ way }) => ({ way })) },
  { id: 'heal', group: NET, label: 'Heal a link', about: 'It carries again, what has waited first.', fields: ['process', 'link'], build: link('heal') },
  { id: 'slow', group: NET, label: 'Slow a link', about: 'Each message travels longer from now on.', fields: ['process', 'link', 'extra_ms'], build: link('slow', ({ extra_ms }) => ({ extra_ms })) },
  { id: 'lose', group: NET, label: 'Lose messages', about: 'The next ones that way vanish.', fields: ['process', 'link', 'one_way', 'count'], build: link('lose', ({ one_way, count }) => ({ way: one_way, count })) },
  { id: 'reset', group: NET, label: 'Break a connection', about: 'Both ends notice at once.', fields: ['process', 'link'], build: link('reset') },
  { id: 'blackhole', group: NET, label: 'Kill a connection silently', about: 'Neither end is told; only silence shows it.', fields: ['process', 'link'], build: link('blackhole') },

  { id: 'member-stop', group: MEMBERS, label: 'Stop a member', about: 'Its process ends.', fields: ['member'], build: member('stop') },
  { id: 'member-start', group: MEMBERS, label: 'Start a member', about: 'Its process starts again.', fields: ['member'], build: member('start') },
  { id: 'member-restart', group: MEMBERS, label: 'Restart a member', about: 'Ends and starts; its streams break.', fields: ['member'], build: member('restart') },
  { id: 'member-pause', group: MEMBERS, label: 'Hold a member', about: 'It answers nothing until it goes on.', fields: ['member'], build: member('pause') },
  { id: 'member-resume', group: MEMBERS, label: 'Let a held member go on', about: 'With all that has waited for it.', fields: ['member'], build: member('resume') },
  { id: 'member-cut-off', group: MEMBERS, label: 'Cut a member off from the others', about: 'Its clients still reach it; the other members do not.', fields: ['member'], build: member('cut-off') },
  { id: 'member-rejoin', group: MEMBERS, label: 'Let it rejoin', about: 'The others reach it again.', fields: ['member'], build: member('rejoin') },
  { id: 'member-lag', group: MEMBERS, label: 'Let a member lag', about: 'It applies nothing more of what is agreed on: what it serves by itself is old.', fields: ['member'], build: member('lag') },
  { id: 'member-catch-up', group: MEMBERS, label: 'Let it catch up', about: 'It applies all that it has missed.', fields: ['member'], build: member('catch-up') },
  { id: 'lead', group: MEMBERS, label: 'Change the leader', about: 'A new leader starts every lease’s countdown over.', fields: ['member'], build: ({ member: n }) => ({ lead: { member: n } }) },

  { id: 'store-restart', group: STORE, label: 'Restart the store', about: 'All members end and start; the data stay.', build: store('restart') },
  { id: 'store-stop', group: STORE, label: 'Stop the store', about: 'All members end.', build: store('stop') },
  { id: 'store-start', group: STORE, label: 'Start the store', about: 'All members start again.', build: store('start') },
  { id: 'store-pause', group: STORE, label: 'Hold the store', about: 'Leases run out meanwhile, all at once when it goes on.', build: store('pause') },
  { id: 'store-resume', group: STORE, label: 'Let the held store go on', about: 'For it, time has jumped.', build: store('resume') },
  { id: 'lose-leader', group: STORE, label: 'Lose the leader', about: 'Nobody agrees on anything: no write, and no lease ends.', build: store('lose-leader') },
  { id: 'regain-leader', group: STORE, label: 'Elect a leader again', about: 'Every lease’s countdown starts over.', build: store('regain-leader') },
  { id: 'compact', group: STORE, label: 'Compact', about: 'The store forgets its history. A watch that is behind cannot go on where it was.', fields: ['keep'], build: ({ keep }) => ({ compact: { keep } }) },
  { id: 'fill', group: STORE, label: 'Fill the database', about: 'What needs room is refused; renewals and removals are not.', build: store('fill') },
  { id: 'make-room', group: STORE, label: 'Make room again', about: 'Writes are taken again.', build: store('make-room') },
  { id: 'backup', group: STORE, label: 'Take a backup', about: 'In place of an earlier one.', build: store('backup') },
  { id: 'restore', group: STORE, label: 'Restore the backup', about: 'Time goes back for the store, and for nobody else.', build: store('restore') },
  { id: 'wipe', group: STORE, label: 'Wipe the store', about: 'It loses its data and begins empty, under the same cluster id.', build: store('wipe') },
  { id: 'replace', group: STORE, label: 'Put another cluster there', about: 'At the same addresses, empty, with another id.', build: store('replace') },
  { id: 'rights', group: STORE, label: 'Take away rights', about: 'The user that the processes are may only read from now on.', build: () => ({ rights: { may: 'read' } }) },
  { id: 'rights-nothing', group: STORE, label: 'Take away all rights', about: 'Not even reading.', build: () => ({ rights: { may: 'nothing' } }) },
  { id: 'rights-all', group: STORE, label: 'Give the rights back', about: 'Read and write every key.', build: () => ({ rights: { may: 'all' } }) },
  { id: 'password', group: STORE, label: 'Change the password', about: 'To another than the processes have. The store forgets their tokens.', build: () => ({ password: { right: false } }) },
  { id: 'password-back', group: STORE, label: 'Change it back', about: 'To the one that the processes have.', build: () => ({ password: { right: true } }) },

  { id: 'expire', group: KEYS, label: 'Let a lease run out', about: 'Now, as if nobody had renewed it.', fields: ['lease'], build: ({ lease }) => ({ expire: { lease } }) },
  { id: 'revoke', group: KEYS, label: 'Revoke a lease', about: 'As an operator does. All that hangs on it goes.', fields: ['lease'], build: ({ lease }) => ({ revoke: { lease } }) },
  { id: 'delete-key', group: KEYS, label: 'Delete a key as a stranger', about: 'Not its owner, and without asking.', fields: ['key'], build: ({ key }) => ({ 'delete-key': { key } }) },
  { id: 'put-key', group: KEYS, label: 'Write a key as a stranger', about: 'Over what is there, or beside it; a record or garbage.', fields: ['any_key', 'value', 'lease_secs'], build: ({ any_key, value, lease_secs }) => ({ 'put-key': { key: any_key, value, lease_secs } }) },
  { id: 'crowd', group: KEYS, label: 'Let a crowd come', about: 'Many instances of strangers, on leases that nobody renews.', fields: ['group', 'crowd', 'at_once', 'lease_secs'], build: ({ group, crowd, at_once, lease_secs }) => ({ crowd: { group, count: crowd, at_once, lease_secs } }) },

  { id: 'mend', group: 'Everything', label: 'Mend everything', about: 'All faults end now, as at the end of each plan.', build: () => ({ mend: {} }) },
];
