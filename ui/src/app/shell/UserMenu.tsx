import { ActionIcon, Menu, useMantineColorScheme, type MantineColorScheme } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { signOut, sessionQuery } from '~/api/queries';
import { Icon } from '~/components/Icon';
import { setPreferences, usePreferences, type Density } from '~/settings/preferences';

const SCHEMES: readonly [MantineColorScheme, string][] = [['dark', 'Dark'], ['light', 'Light'], ['auto', 'As the system']];
const DENSITIES: readonly [Density, string][] = [['comfortable', 'Comfortable'], ['compact', 'Compact (control room)']];

export function UserMenu() {
  const { data: session } = useQuery(sessionQuery);
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const { density } = usePreferences();
  const client = useQueryClient();
  const navigate = useNavigate();
  const leave = async () => {
    await signOut();
    await navigate({ to: '/signin' });
    client.clear();
  };
  return (
    <Menu position="bottom-end" width={230} closeOnItemClick={false}>
      <Menu.Target>
        <ActionIcon variant="default" size={30} aria-label="User and appearance">
          <Icon name="user" />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>
          {session?.username}, {session?.role}
        </Menu.Label>
        <Menu.Label>Colours</Menu.Label>
        {SCHEMES.map(([value, label]) => (
          <Menu.Item key={value} role="menuitemradio" aria-checked={colorScheme === value} onClick={() => setColorScheme(value)} leftSection={colorScheme === value ? '●' : '○'}>
            {label}
          </Menu.Item>
        ))}
        <Menu.Label>Density</Menu.Label>
        {DENSITIES.map(([value, label]) => (
          <Menu.Item key={value} role="menuitemradio" aria-checked={density === value} onClick={() => setPreferences({ density: value })} leftSection={density === value ? '●' : '○'}>
            {label}
          </Menu.Item>
        ))}
        <Menu.Divider />
        <Menu.Item onClick={() => void leave()}>Sign out</Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
